// SPDX-License-Identifier: Apache-2.0
//
// Tools for tests of programs on aiofiber: exact time, exact passes, reproducible orders.
//
// TestLoop is an ordinary EventLoop on a virtual clock. Its time stands still while code runs, and jumps to
// the next deadline when the loop would sleep. An hour of timers takes microseconds, and times can be
// compared with ==. When nothing is ready and nothing is scheduled, run_until_complete() throws
// runtime::Deadlock instead of hanging.
//
//     asyncio::testing::TestLoop loop;
//     loop.run_until_complete([] { asyncio::await(asyncio::sleep(1h)); });  // takes microseconds
//     assert(loop.time().time_since_epoch() == 1h);
//     loop.close();
//
// Wrong: a short sleep "until the others have run". Use wait_all_tasks_blocked().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "aiofiber/duration.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/runtime/engine/choice.h"
#include "aiofiber/runtime/engine/clock.h"

namespace aiofiber::testing {

// A loop on virtual time, which begins at 0.
// Threads: as EventLoop. Errors: std::runtime_error when the system has no descriptors left.
class TestLoop : public EventLoop {
 public:
  TestLoop();

  // Advances the clock inside a callback or a task, as if the code had taken that long. Never suspends.
  void burn(Duration duration) noexcept { clock_->burn(duration.nanoseconds()); }
  // The number of passes begun so far.
  std::uint64_t iteration() const noexcept { return core().scheduler().passes(); }
  // Set it if real threads or signals may wake the loop. The loop then waits in real time before the clock
  // jumps: 2 ms, or a second while a call on another thread (to_thread(), run_in_executor(), a hooked
  // fsync()) is running.
  void set_may_block(bool may_block) noexcept { clock_->set_may_block(may_block); }
  // Runs a loop that is not running until its time is `duration` later. Everything that is due by then has
  // run.
  // RuntimeError if the loop runs (await a sleep there) or is closed.
  void advance(Duration duration);
  // The number of armed timers: call_later(), call_at(), sleep() and time limits that have neither run nor
  // been cancelled.
  std::size_t live_timers() const noexcept { return core().scheduler().timers().size(); }

 private:
  explicit TestLoop(const std::shared_ptr<runtime::VirtualClock>& clock);

  runtime::VirtualClock* clock_;  // owned by the core; its scheduler refers to it
};

// While this object lives, its seed decides on this thread what runs first. On a TestLoop: which of the tasks
// that can run takes the next step, which of several timers comes first that are due at the same moment, and
// whether a busy loop polls. Callbacks keep their order (explore.h says exactly what changes). On the
// system's clock only the timers and the polls depend on it. The same seed gives the same order. Scopes nest.
class Seed {
 public:
  // From here to the destructor, for loops of this thread.
  explicit Seed(std::uint64_t seed) noexcept : chooser_(seed), outer_(runtime::current_chooser) {
    runtime::current_chooser = &chooser_;
  }
  ~Seed() { runtime::current_chooser = outer_; }
  Seed(const Seed&) = delete;
  Seed& operator=(const Seed&) = delete;

 private:
  runtime::SeededChooser chooser_;
  runtime::Chooser* outer_;
};

// Suspends the current task until nothing else is ready: every other task waits for a future, a timer, a
// descriptor or another thread. Sleeping tasks count as blocked. Source: trio.testing.wait_all_tasks_blocked.
// Cancellation: a cancellation point. Errors: RuntimeError outside a task; CancelledError.
void wait_all_tasks_blocked();

}  // namespace aiofiber::testing
