// SPDX-License-Identifier: Apache-2.0
//
// The watchdog's thread and its list. A forked child has lost the thread, and the mutex may be locked, so it
// starts with a new state.
#include "aiofiber/runtime/inspect/watchdog.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/thread_sample.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "inspect/core_wait.h"

namespace aiofiber::runtime::watchdog {

namespace {

constexpr Nanoseconds kLooksInAllowedTime = 4;
constexpr Nanoseconds kShortestPeriod = 1'000'000;

struct Watched {
  const Scheduler* scheduler;
  pid_t tid;
  Nanoseconds allowed;
  Report report;
  std::uint64_t ticks = 0;
  Nanoseconds still_since = 0;
  CoreWait core_wait{};         // since that time
  Nanoseconds reported_at = 0;  // the length of the block at that time; 0: not reported yet
};

struct WatchdogState {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Watched> watched;  // guarded by mutex
  bool thread_started = false;   // guarded by mutex
  std::uint32_t generation = fork_generation();
};

WatchdogState& watchdog_state() {
  static std::atomic<WatchdogState*> current{nullptr};
  WatchdogState* known = current.load(std::memory_order_acquire);
  if (known != nullptr && known->generation == fork_generation()) return *known;
  auto* fresh = new WatchdogState;  // never destroyed: its thread runs to the end of the process
  if (current.compare_exchange_strong(known, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *known;
}

struct FiberText {
  std::string name;
  bool has_stack = true;
};
FiberText describe_fiber(std::uint64_t id) {
  FiberText text;
  // Reads while the owner writes, like a reader from outside.
  RecordSlab::for_each([&](const aiofiber_record& record) __attribute__((no_sanitize("thread"))) {
    if (__atomic_load_n(&record.id, __ATOMIC_RELAXED) != id) return;
    aiofiber_record copy;
    const ssize_t copied = sys::copy_own_memory(&copy, &record, sizeof copy);
    if (copied == static_cast<ssize_t>(sizeof copy) && copy.id == id)
      text = {task_name(copy), copy.stack_high != 0};
  });
  return text;
}

std::string report_text(Nanoseconds blocked, Nanoseconds queued, const ThreadSample* sample) {
  std::string text = absl::StrCat("The event loop has been blocked for ", blocked / 1'000'000, " ms");
  if (sample == nullptr)
    return text + " (its thread could not be looked at: it blocks SIGURG, or handles it)";
  const FiberText fiber = describe_fiber(sample->fiber_id);
  if (sample->fiber_id != 0) {
    absl::StrAppend(&text, " by task '", fiber.name, "'");
  } else {
    text += " by a callback";
  }
  if (!sample->system_call.empty()) absl::StrAppend(&text, " in ", sample->system_call);
  if (queued >= 1'000'000)
    absl::StrAppend(&text, " (its thread has waited for a core for another ", queued / 1'000'000, " ms)");
  if (sample->fiber_id != 0 && !fiber.has_stack) {
    text +=
        " (the task has no stack, so a call that waits blocks the thread: give it one for that time, "
        "co_await [&] { return call(); })";
  }
  absl::StrAppend(&text, "\n", format_frames(program_frames({sample->addresses.data(), sample->count})));
  text.pop_back();
  return text;
}

void look_at(Watched& watched) {
  const Scheduler::Pulse pulse = watched.scheduler->pulse();
  // Not before the pulse: this thread may lose its core at any place, and the loop may go on meanwhile.
  const Nanoseconds now = SteadyClock::instance().now();
  const CoreUse use = core_use(watched.tid);
  if (pulse.idle || pulse.ticks != watched.ticks) {
    watched.ticks = pulse.ticks;
    watched.still_since = now;
    watched.core_wait.start(use, now);
    watched.reported_at = 0;
    return;
  }
  // A thread that waits for a core is not blocked by its code: a busy machine is no fault of the program.
  const Nanoseconds stands = now - watched.still_since;
  const Nanoseconds queued = std::clamp<Nanoseconds>(watched.core_wait.look(use, now), 0, stands);
  const Nanoseconds blocked = stands - queued;
  if (blocked < std::max(watched.allowed, watched.reported_at * 2)) return;
  const auto sample = sample_thread(watched.tid);
  // Without a core it answers no signal. It is sampled when it has one.
  if (!sample && waits_for_core(use, core_use(watched.tid))) return;
  watched.reported_at = blocked;
  const Scheduler::Pulse after = watched.scheduler->pulse();
  if (after.idle || after.ticks != pulse.ticks)
    return;  // it continued meanwhile: the sample does not show the block
  watched.report(report_text(blocked, queued, sample ? &*sample : nullptr));
}

void serve(WatchdogState& own) {
  // Now: a loop may be blocked in the loader, which then lets no other thread in.
  prepare_symbols();
  std::unique_lock lock(own.mutex);
  for (;;) {
    if (own.watched.empty()) {
      own.changed.wait(lock);
      continue;
    }
    Nanoseconds period = kForever;
    for (const Watched& watched : own.watched) {
      period = std::min(period, std::max(watched.allowed / kLooksInAllowedTime, kShortestPeriod));
    }
    own.changed.wait_for(lock, std::chrono::nanoseconds(period));
    for (Watched& watched : own.watched) look_at(watched);
  }
}

// With own.mutex held.
void start_thread(WatchdogState& own) {
  if (own.thread_started) return;
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const absl::Cleanup restore = [&] { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  std::thread thread(serve, std::ref(own));
  ::pthread_setname_np(thread.native_handle(), "aiofiber_watch");
  thread.detach();
  own.thread_started = true;
}

}  // namespace

void watch(const Scheduler& scheduler, Nanoseconds allowed, Report report) {
  unwatch(scheduler);
  install_sample_handler();
  WatchdogState& own = watchdog_state();
  const std::lock_guard lock(own.mutex);
  const auto tid = static_cast<pid_t>(::syscall(SYS_gettid));
  const Nanoseconds now = SteadyClock::instance().now();
  Watched added{&scheduler, tid, allowed, report, scheduler.pulse().ticks, now};
  added.core_wait.start(core_use(tid), now);
  own.watched.push_back(added);
  start_thread(own);
  own.changed.notify_one();
}

void unwatch(const Scheduler& scheduler) noexcept {
  WatchdogState& own = watchdog_state();
  const std::lock_guard lock(own.mutex);
  std::erase_if(own.watched, [&](const Watched& watched) { return watched.scheduler == &scheduler; });
}

}  // namespace aiofiber::runtime::watchdog
