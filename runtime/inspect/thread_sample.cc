// SPDX-License-Identifier: Apache-2.0
//
// One request at a time, in static memory: a handler that runs too late finds no request and does nothing.
#include "aiofiber/runtime/inspect/thread_sample.h"

#include <absl/strings/str_cat.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <mutex>
#include <vector>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/call_list.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "inspect/system_call.h"

namespace aiofiber::runtime {

namespace {

constexpr long kPatienceNs = 200'000'000;

enum class Phase : int { kIdle, kWanted, kFilling };

struct Request {
  std::atomic<Phase> phase{Phase::kIdle};
  pid_t tid = 0;
  std::size_t count = 0;
  std::uint64_t fiber_id = 0;
  std::array<std::uintptr_t, ThreadSample::kMaxFrames> addresses;
  sem_t filled;
};

constinit Request request{};  // belongs to the holder of request_mutex
std::mutex request_mutex;
struct sigaction previous_action;

// The kernel puts the context on the handler's stack. ThreadSanitizer runs a handler later, with a copy: the
// registers in it are old, and the handler is an ordinary call on the thread's stack.
bool is_of_now(const void* context) noexcept {
  constexpr std::uintptr_t kFramesOfHandler = 64 * 1024;
  const auto own_frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return reinterpret_cast<std::uintptr_t>(context) - own_frame < kFramesOfHandler;
}

void on_signal(int signo, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  Phase wanted = Phase::kWanted;
  const auto own_tid = static_cast<pid_t>(::syscall(SYS_gettid));
  if (info->si_code == SI_TKILL && request.phase.load(std::memory_order_acquire) == wanted &&
      request.tid == own_tid &&
      request.phase.compare_exchange_strong(wanted, Phase::kFilling, std::memory_order_acq_rel)) {
    Registers registers = current_registers();
    if (is_of_now(context)) {
      registers = arch::interrupted_registers(context);
      if (registers.pc != 0) ++registers.pc;  // an instruction, not a return address
    }
    const Fiber* fiber = current_fiber_or_step();
    request.fiber_id = fiber != nullptr ? fiber->id : 0;
    // The loop fetched the thread's bounds when it began to run, so this does not allocate.
    request.count = list_calls({registers, current_stack_bounds(), current_coroutines()}, request.addresses);
    ::sem_post(&request.filled);
  } else if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signo, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signo);
  }
  errno = saved_errno;
}

bool handler_is_ours() noexcept {
  struct sigaction now {};
  return ::sigaction(kSampleSignal, nullptr, &now) == 0 && now.sa_sigaction == on_signal;
}

// ---- system calls

// A blocked thread, as /proc shows it.
struct Blocked {
  long number = -1;
  std::array<std::uint64_t, 6> arguments{};
  std::uintptr_t sp = 0;
  std::uintptr_t pc = 0;
};

std::optional<Blocked> blocked_in(pid_t tid) {
  std::ifstream in(absl::StrCat("/proc/self/task/", tid, "/syscall"));
  Blocked call;
  if (!(in >> call.number) || call.number < 0)
    return std::nullopt;  // "running", or blocked outside a system call
  in >> std::hex;
  // The numbers have the prefix 0x, which a stream accepts when it reads hexadecimal.
  for (std::uint64_t& argument : call.arguments) in >> argument;
  in >> call.sp >> call.pc;
  return in ? std::optional(call) : std::nullopt;
}

std::string describe_call(const Blocked& blocked) {
  const CallName* call = find_call(blocked.number);
  if (call == nullptr) return absl::StrCat("system call ", blocked.number);
  return absl::StrCat(call->name, "(",
                      call->takes_fd ? describe_fd(static_cast<int>(blocked.arguments[0])) : "", ")");
}

// A socket with its own time limit gives EINTR even if SA_RESTART is set.
bool has_time_limit(int fd) noexcept {
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    timeval limit{};
    socklen_t size = sizeof limit;
    if (::getsockopt(fd, SOL_SOCKET, option, &limit, &size) == 0 && (limit.tv_sec != 0 || limit.tv_usec != 0))
      return true;
  }
  return false;
}

bool may_be_interrupted(const Blocked& blocked) noexcept {
  const CallName* call = find_call(blocked.number);
  if (call == nullptr || !call->survives_signals) return false;
  return !call->takes_fd || !has_time_limit(static_cast<int>(blocked.arguments[0]));
}

// ---- the two ways

std::uint64_t running_fiber_of(pid_t tid, StackBounds& bounds, std::uint64_t& coroutines) {
  std::uint64_t id = 0;
  // Reads while the owner writes, like a reader from outside. Each field is read whole, and all are from the
  // blocked fiber.
  RecordSlab::for_each([&](const aiofiber_record& record) __attribute__((no_sanitize("thread"))) {
    if (__atomic_load_n(&record.state, __ATOMIC_RELAXED) != AIOFIBER_RUNNING) return;
    if (__atomic_load_n(&record.tid, __ATOMIC_RELAXED) != static_cast<std::uint32_t>(tid)) return;
    // A step of a fiber without a stack runs another fiber at once: that one is asked for.
    if (bounds.high != 0) return;
    id = __atomic_load_n(&record.id, __ATOMIC_RELAXED);
    bounds = {__atomic_load_n(&record.stack_low, __ATOMIC_RELAXED),
              __atomic_load_n(&record.stack_high, __ATOMIC_RELAXED)};
    coroutines = __atomic_load_n(&record.coroutines, __ATOMIC_RELAXED);
  });
  return id;
}

void sample_from_outside(pid_t tid, const Blocked& blocked, ThreadSample& sample) {
  StackBounds bounds{0, 0};
  std::uint64_t coroutines = 0;
  sample.fiber_id = running_fiber_of(tid, bounds, coroutines);
  const bool on_fiber = blocked.sp >= bounds.low && blocked.sp < bounds.high;
  std::vector<char> copy(on_fiber ? std::min(bounds.high - blocked.sp, kMaxStackCopied) : kMaxStackCopied);
  const ssize_t copied =
      sys::copy_own_memory(copy.data(), reinterpret_cast<const void*>(blocked.sp), copy.size());
  if (copied <= 0) return;
  Registers registers{};
  registers.pc = blocked.pc + 1;
  registers.sp = blocked.sp;
  const StackBounds copied_bounds{blocked.sp, blocked.sp + static_cast<std::uintptr_t>(copied)};
  sample.count = list_calls({registers, copied_bounds, coroutines, copy.data()}, sample.addresses);
}

bool sample_by_signal(pid_t tid, ThreadSample& sample) {
  request.tid = tid;
  request.phase.store(Phase::kWanted, std::memory_order_release);
  timespec until{};
  // tidy-allow(clock): the semaphore wants the system's clock
  ::clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += kPatienceNs;
  if (until.tv_nsec >= 1'000'000'000) {
    until.tv_nsec -= 1'000'000'000;
    ++until.tv_sec;
  }
  bool filled = sys::signal_thread(tid, kSampleSignal) == 0;
  if (filled) {
    int result = 0;
    do {
      result = ::sem_timedwait(&request.filled, &until);
    } while (result != 0 && errno == EINTR);
    filled = result == 0;
  }
  Phase wanted = Phase::kWanted;
  if (!filled && !request.phase.compare_exchange_strong(wanted, Phase::kIdle, std::memory_order_acq_rel)) {
    // The handler is running: it ends soon.
    while (::sem_wait(&request.filled) != 0) {
    }
    filled = true;
  }
  request.phase.store(Phase::kIdle, std::memory_order_relaxed);
  if (!filled) return false;
  sample.addresses = request.addresses;
  sample.count = request.count;
  sample.fiber_id = request.fiber_id;
  return true;
}

}  // namespace

void install_sample_handler() noexcept {
  static const bool installed = [] {
    ::sem_init(&request.filled, 0, 0);
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    return ::sigaction(kSampleSignal, &action, &previous_action) == 0;
  }();
  static_cast<void>(installed);
}

std::string describe_fd(int fd) {
  char target[256];
  const std::string link = absl::StrCat("/proc/self/fd/", fd);
  const ssize_t length = ::readlink(link.c_str(), target, sizeof target);
  if (length < 0) return absl::StrCat("fd ", fd, " (not open)");
  return absl::StrCat("fd ", fd, " = ", absl::string_view(target, static_cast<std::size_t>(length)));
}

std::optional<ThreadSample> sample_thread(pid_t tid) {
  const std::lock_guard lock(request_mutex);
  install_sample_handler();
  ThreadSample sample;
  if (const auto blocked = blocked_in(tid)) {
    sample.system_call = describe_call(*blocked);
    if (!may_be_interrupted(*blocked)) {
      sample_from_outside(tid, *blocked, sample);
      return sample;
    }
  }
  if (!handler_is_ours() || !sample_by_signal(tid, sample)) return std::nullopt;
  return sample;
}

}  // namespace aiofiber::runtime
