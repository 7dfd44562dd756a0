// SPDX-License-Identifier: Apache-2.0
//
// What tests of programs on aiofiber need: exact time, exact passes, reproducible orders.
//
// TestLoop is an ordinary EventLoop on a clock that stands still while code runs and jumps to the next
// deadline when the loop would sleep: an hour of timers takes microseconds, and times can be compared with
// ==. When nothing is ready and nothing is scheduled, run_until_complete() throws runtime::Deadlock
// instead of hanging.
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

  // Moves time forward from inside a callback or a task, as if the code had taken that long. Never suspends.
  void burn(Duration duration) noexcept { clock_->burn(duration.nanoseconds()); }
  // Passes of the loop begun so far.
  std::uint64_t iteration() const noexcept { return core().scheduler().passes(); }
  // Real threads or signals may wake the loop: before time jumps it passes as in reality for 2 ms, and while
  // a call on another thread (to_thread(), run_in_executor(), a hooked fsync()) is under way for a second.
  void set_may_block(bool may_block) noexcept { clock_->set_may_block(may_block); }
  // While the loop does not run: runs it until its time is `duration` later; what is due by then has run.
  // RuntimeError while it runs (there, await a sleep instead) or when it is closed.
  void advance(Duration duration);
  // Timers that are armed: call_later(), call_at(), sleep() and time limits that have neither run nor been
  // cancelled.
  std::size_t live_timers() const noexcept { return core().scheduler().timers().size(); }

 private:
  explicit TestLoop(const std::shared_ptr<runtime::VirtualClock>& clock);

  runtime::VirtualClock* clock_;  // owned by the core, whose scheduler refers to it
};

// While it lives, the choices that the specification leaves open are made from this seed, on this thread: the
// order in which timers that were started meanwhile and are due at the same moment run, and, on the system's
// clock, when a busy loop polls. The same seed, the same order. Scopes nest.
class Seed {
 public:
  explicit Seed(std::uint64_t seed) noexcept : chooser_(seed), outer_(runtime::current_chooser) {
    runtime::current_chooser = &chooser_;
  }
  ~Seed() { runtime::current_chooser = outer_; }
  Seed(const Seed&) = delete;
  Seed& operator=(const Seed&) = delete;

 private:
  runtime::Chooser chooser_;
  runtime::Chooser* outer_;
};

// Suspends the current task until nothing else is ready: every other task waits for a future, a timer, a
// descriptor or another thread. Sleeping tasks count as blocked. Source: trio.testing.wait_all_tasks_blocked.
// Cancellation: a cancellation point. Errors: RuntimeError outside a task; CancelledError.
void wait_all_tasks_blocked();

}  // namespace aiofiber::testing
