// SPDX-License-Identifier: Apache-2.0
//
// A semaphore wakes the thread. Each signal has a bit, so none is lost while a dump is written.
#include "aiofiber/runtime/inspect/dump_on_signal.h"

#include <absl/strings/str_cat.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/thread_sample.h"
#include "inspect/output_file.h"

namespace aiofiber::runtime {

namespace {

constexpr std::size_t kSignals = 64;
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

std::atomic<std::uint64_t> pending{0};
std::array<std::atomic<int>, kSignals + 1> places;  // the descriptor for each signal
sem_t wanted;
std::mutex dump_places_mutex;

void on_signal(int signo) {
  const int saved_errno = errno;
  pending.fetch_or(std::uint64_t{1} << (signo - 1), std::memory_order_relaxed);
  ::sem_post(&wanted);
  errno = saved_errno;
}

void serve() {
  prepare_symbols();  // when a dump is wanted, the loader may be occupied by a thread that hangs in it
  for (;;) {
    while (::sem_wait(&wanted) != 0) {
    }
    std::uint64_t signals = pending.exchange(0, std::memory_order_relaxed);
    for (int signo = 1; signals != 0; ++signo, signals >>= 1) {
      if ((signals & 1) == 0) continue;
      const std::string text = format_task_dump();
      sys::write_all(places[static_cast<std::size_t>(signo)].load(), text.data(), text.size());
    }
  }
}

// Once per process; again in a forked child, which has lost the thread.
void start_thread() {
  static std::uint32_t started_in = 0;
  static bool started = false;
  if (started && started_in == fork_generation()) return;
  ::sem_init(&wanted, 0, 0);
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(serve);
  ::pthread_setname_np(thread.native_handle(), "aiofiber_dump");
  thread.detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started = true;
  started_in = fork_generation();
}

}  // namespace

void enable_task_dump(int signo, int fd) {
  if (signo < 1 || signo > static_cast<int>(kSignals))
    throw std::system_error(EINVAL, std::generic_category(), absl::StrCat("signal ", signo));
  const std::lock_guard lock(dump_places_mutex);
  start_thread();
  places[static_cast<std::size_t>(signo)].store(fd);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigaddset(&action.sa_mask, kSampleSignal);
  if (::sigaction(signo, &action, nullptr) != 0) {
    throw std::system_error(errno, std::generic_category(),
                            absl::StrCat("signal ", signo, " cannot be caught"));
  }
}

void enable_task_dump(int signo, const std::string& path, unsigned permissions) {
  const HooksOff hooks_off;
  const int fd = open_output_file(path, OldContent::kKeep, permissions);
  if (fd < 0)
    throw std::system_error(errno, std::generic_category(),
                            "cannot open '" + path + "' for task dumps (" + output_file_error(errno) + ")");
  try {
    enable_task_dump(signo, fd);
  } catch (...) {
    sys::close(fd);
    throw;
  }
}

}  // namespace aiofiber::runtime
