// SPDX-License-Identifier: Apache-2.0
//
// The writer's state, its thread, and the file.
//
// A fork leaves the child one thread and a copy of all this. The child starts with a new state and no trace.
#include "trace/trace_writer.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/trace/trace.h"
#include "aiofiber/runtime/trace/trace_json.h"
#include "inspect/output_file.h"

namespace aiofiber::runtime {

namespace {

constexpr Nanoseconds kWritePeriod = 100'000'000;
constexpr std::size_t kWriteBytes = 1 << 18;  // text is written in pieces of at least this size
constexpr std::size_t kMinEvents = 16;

Nanoseconds now() noexcept { return Stamps::read().time; }

// Guarded by the mutex.
struct WriterState {
  std::mutex mutex;
  sem_t wanted;  // a ring is half full, or the trace has ended
  std::vector<std::unique_ptr<TraceRing>> rings;
  std::size_t events_per_thread = kTraceEventsPerThread;
  std::optional<TraceJson> json;   // engaged while a trace is written
  std::uint64_t trace_number = 0;  // the writer of an older trace ends
  int fd = -1;
  int fd_left = -1;  // closed by the writer, but still open for the other threads
  std::string path;
  std::uint64_t lost = 0;
  Stamps::Reading first{}, last{};  // for converting stamps to times

  const WriterState* const of_parent;  // kept for leak checkers; its rings may be in any state

  explicit WriterState(const WriterState* parent) : of_parent(parent) { ::sem_init(&wanted, 0, 0); }
};

constinit std::atomic<WriterState*> state_of_process{
    nullptr};  // null in a child until the child needs a state
constinit const WriterState* state_of_parent = nullptr;

void install_handlers();

// Never destroyed: loops may run in destructors of static objects, and the writer is detached.
WriterState& writer_state() {
  WriterState* known = state_of_process.load(std::memory_order_acquire);
  if (known != nullptr) return *known;
  install_handlers();
  auto made = std::make_unique<WriterState>(state_of_parent);
  if (state_of_process.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel))
    return *made.release();
  return *known;
}

constinit thread_local bool has_own_descriptors = false;

// If two threads share descriptors, the kernel counts references in every system call on one. That was most
// of a trace's cost in a program of one thread. So the writer has its own descriptors: the file and stderr.
// Any other would keep open here what the program closes.
void leave_descriptors(int fd) noexcept {
  const auto last = static_cast<unsigned>(fd);
  has_own_descriptors = ::close_range(last + 1, ~0U, CLOSE_RANGE_UNSHARE) == 0;
  if (!has_own_descriptors) return;
  for (const unsigned other : {0U, 1U}) {
    if (other != last) ::close_range(other, other, 0);
  }
  if (last > 3) ::close_range(3, last - 1, 0);
}

void close_descriptor(int& fd) noexcept {
  if (fd >= 0)
    ::syscall(SYS_close, fd);  // tidy-allow(syscall): the hooks must not see it, nor a test's faults
  fd = -1;
}

void close_file(WriterState& all) noexcept {
  if (has_own_descriptors) all.fd_left = all.fd;
  close_descriptor(all.fd);
  all.json.reset();
}

bool flush(WriterState& all, std::size_t at_least) noexcept {
  std::string& text = all.json->text();
  if (text.size() < at_least) return true;
  if (sys::write_all(all.fd, text.data(), text.size())) {
    text.clear();
    return true;
  }
  std::fprintf(stderr,
               "aiofiber: trace: cannot write to '%s' (%s): the trace ends here, the program goes on\n",
               all.path.c_str(), std::strerror(errno));
  set_tracing(false);
  close_file(all);
  return false;
}

// Takes a reading at each turn of the writer. The two readings must be near each other to be exact for the
// stamps between them, but not too near: the line through them would follow their errors.
void read_clocks(WriterState& all) noexcept {
  constexpr Nanoseconds kApart = 20'000'000;
  if (all.last.time - all.first.time >= kApart) all.first = all.last;
  all.last = Stamps::read();
}

// Writes the events of all rings. False: the trace has ended.
bool write_events(WriterState& all) {
  read_clocks(all);
  for (auto& ring : all.rings) {
    const bool last = ring->abandoned.load(std::memory_order_acquire);
    ring->drain([&](TraceEvent event) {
      // The events of a loop stay in order, whatever the readings say.
      const Nanoseconds time = Stamps::time(static_cast<std::uint64_t>(event.time), all.first, all.last);
      event.time = ring->written_until = std::max(time, ring->written_until);
      if (all.json) all.json->add(ring->loop, event);
      if (all.json && all.json->text().size() >= kWriteBytes) flush(all, 1);
    });
    all.lost += ring->take_lost();
    if (!all.json) return false;
    if (!last) continue;
    all.json->end(ring->loop, 0);
    ring.reset();
  }
  std::erase(all.rings, nullptr);
  return true;
}

void end_trace(WriterState& all) {
  set_tracing(false);
  ++all.trace_number;
  ::sem_post(&all.wanted);
  if (!write_events(all)) return;
  const Nanoseconds time = now();
  for (auto& ring : all.rings) all.json->end(ring->loop, time);
  all.json->end(time, all.lost);
  if (!flush(all, 1)) return;
  if (all.lost > 0) {
    std::fprintf(stderr,
                 "aiofiber: trace: %llu events are missing in '%s': more came than could be written\n",
                 static_cast<unsigned long long>(all.lost), all.path.c_str());
  }
  close_file(all);
}

void out_of_memory(WriterState& all) noexcept {
  set_tracing(false);
  std::fprintf(stderr, "aiofiber: trace: out of memory: the trace ends here, the program goes on\n");
  close_file(all);
}

void write_while_it_lasts(WriterState& all, std::uint64_t trace_number, int fd) {
  leave_descriptors(fd);
  for (;;) {
    const Nanoseconds deadline = now() + kWritePeriod;
    const timespec until{deadline / 1'000'000'000, deadline % 1'000'000'000};
    while (::sem_clockwait(&all.wanted, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR) {
    }
    const std::lock_guard lock(all.mutex);
    if (all.trace_number != trace_number || !all.json) return;
    try {
      if (!write_events(all) || !flush(all, 1)) return;
    } catch (const std::bad_alloc&) {
      return out_of_memory(all);
    }
  }
}

void start_writer(WriterState& all) {
  sigset_t every, before;
  ::sigfillset(&every);
  ::pthread_sigmask(SIG_SETMASK, &every, &before);
  const absl::Cleanup restore = [&] { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  std::thread thread(write_while_it_lasts, std::ref(all), all.trace_number, all.fd);
  ::pthread_setname_np(thread.native_handle(), "aiofiber_trace");
  thread.detach();
}

// Names the tasks that exist already. The copy cannot fault, although their loops go on.
void name_tasks(TraceJson& json) {
  RecordSlab::for_each([&](const aiofiber_record& original) {
    aiofiber_record record;
    if (sys::copy_own_memory(&record, &original, sizeof record) != static_cast<ssize_t>(sizeof record))
      return;
    if (record.state == AIOFIBER_FREE || record.id == 0) return;
    if (record.name[0] != '\0') {
      json.name(record.id, std::string_view(record.name, ::strnlen(record.name, sizeof record.name)));
    } else if (record.name_number != 0) {
      json.name(record.id, absl::StrCat("Task-", record.name_number));
    }
  });
}

std::string with_process_id(std::string path) {
  for (std::size_t at = 0; (at = path.find("%p", at)) != std::string::npos;) {
    const std::string id = absl::StrCat(::getpid());
    path.replace(at, 2, id);
    at += id.size();
  }
  return path;
}

constinit WriterState* locked_for_fork = nullptr;  // only one fork runs at a time

void before_fork() noexcept {
  locked_for_fork = state_of_process.load(std::memory_order_acquire);
  if (locked_for_fork != nullptr) locked_for_fork->mutex.lock();
}

void after_fork_in_parent() noexcept {
  if (locked_for_fork != nullptr) locked_for_fork->mutex.unlock();
}

// The old state stays as it is, but for its mutex, which this thread holds: its rings may be half changed,
// and its file is the parent's. The child makes a new state when it needs one.
void after_fork_in_child() noexcept {
  set_tracing(false);
  state_of_process.store(nullptr, std::memory_order_relaxed);
  if (locked_for_fork == nullptr) return;
  close_descriptor(locked_for_fork->fd);
  close_descriptor(locked_for_fork->fd_left);
  locked_for_fork->mutex.unlock();
  state_of_parent = locked_for_fork;
}

constinit ForkHandler trace_at_fork{
    ForkStep::kTrace,
    {.prepare = &before_fork, .parent = &after_fork_in_parent, .child = &after_fork_in_child}};

void install_handlers() {
  at_fork(trace_at_fork);
  static const int at_exit = std::atexit([] { stop_trace(); });
  static_cast<void>(at_exit);
}

}  // namespace

TraceRing& add_trace_ring() {
  WriterState& all = writer_state();
  const std::lock_guard lock(all.mutex);
  return *all.rings.emplace_back(std::make_unique<TraceRing>(all.events_per_thread));
}

void wake_trace_writer() noexcept { ::sem_post(&state_of_process.load(std::memory_order_relaxed)->wanted); }

void start_trace(const std::string& path, std::size_t events_per_thread, unsigned permissions) {
  const HooksOff hooks_off;
  const std::string name = with_process_id(path);
  WriterState& all = writer_state();
  const std::lock_guard lock(all.mutex);
  close_descriptor(all.fd_left);
  if (all.json)
    throw std::system_error(EBUSY, std::generic_category(),
                            "a trace is being written to '" + all.path + "'; stop it first");
  const int fd = open_output_file(name, OldContent::kReplace, permissions);
  if (fd < 0)
    throw std::system_error(errno, std::generic_category(),
                            "cannot open '" + name + "' for the trace (" + output_file_error(errno) + ")");
  all.fd = fd;
  try {
    all.path = name;
    all.lost = 0;
    all.events_per_thread = std::bit_ceil(std::max(events_per_thread, kMinEvents));
    for (auto& ring : all.rings) {
      ring->drain([](const TraceEvent&) {});
      ring->take_lost();
      ring->written_until = 0;
      ring->loop = TraceJson::Loop{.thread_id = ring->loop.thread_id};
    }
    all.first = all.last = Stamps::read();
    all.json.emplace(static_cast<std::uint32_t>(::getpid()), all.last.time);
    all.json->begin(::program_invocation_short_name);
    name_tasks(*all.json);
    ++all.trace_number;
    start_writer(all);
  } catch (...) {
    close_file(all);
    throw;
  }
  set_tracing(true);
}

std::uint64_t stop_trace() noexcept {
  const HooksOff hooks_off;
  WriterState* const known = state_of_process.load(std::memory_order_acquire);
  if (known == nullptr) return 0;
  WriterState& all = *known;
  const std::lock_guard lock(all.mutex);
  close_descriptor(all.fd_left);
  if (!all.json) return 0;
  try {
    end_trace(all);
  } catch (const std::bad_alloc&) {
    out_of_memory(all);
  }
  return all.lost;
}

void start_trace_from_environment() noexcept {
  static const bool done = [] {
    const char* path = ::secure_getenv("AIOFIBER_TRACE");
    if (path == nullptr || *path == '\0') return true;
    try {
      start_trace(path);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "aiofiber: AIOFIBER_TRACE: %s; the program goes on without\n", error.what());
    }
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace aiofiber::runtime
