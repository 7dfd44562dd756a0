// SPDX-License-Identifier: Apache-2.0
//
// A loop for the tests of the engine: fibers without tasks, on the virtual clock unless a test passes
// another.
//
// The loop runs until its last fiber has ended. Its destructor checks that no fiber, stack or timer is left.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime {

// Runs functions as fibers. ForcedUnwind ends a body, as it ends a task of the facade.
class Loop {
 public:
  explicit Loop(Clock& clock) : scheduler_(make_scheduler(clock)) {}
  Loop() : Loop(clock_) {}
  ~Loop() {
    EXPECT_EQ(scheduler_->fibers_alive(), 0u);
    EXPECT_EQ(scheduler_->stacks().stacks_in_use(), abandoned_.size());
    EXPECT_TRUE(scheduler_->timers().empty());
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Creates a fiber and makes it ready.
  Fiber& spawn(std::function<void()> function, std::size_t stack_bytes = 0) {
    auto start = std::make_unique<Start>(Start{*this, std::move(function)});
    Fiber& fiber = scheduler_->create_fiber(body, start.get(), stack_bytes, 0);
    static_cast<void>(start.release());
    ++left_;
    scheduler_->make_ready(fiber);
    return fiber;
  }
  // Runs until every fiber has ended; at once if there is none.
  void run() {
    if (left_ > 0) scheduler_->run();
  }
  // Runs the passes that need no event from outside, then returns. It leaves run() by the virtual clock's
  // Deadlock.
  void run_until_stuck() { EXPECT_THROW(scheduler_->run(), Deadlock); }
  bool unwind(Fiber& fiber) {
    auto* const start = static_cast<Start*>(fiber.owner);
    const bool ended = scheduler_->unwind(fiber);
    if (!ended) {
      --left_;
      abandoned_.emplace_back(start);  // its frame will never delete it
    }
    return ended;
  }

  Scheduler& scheduler() { return *scheduler_; }
  VirtualClock& clock() { return clock_; }
  std::vector<std::string> failures;  // start_failure() of fibers that got no stack

 private:
  struct Start {
    Loop& loop;
    std::function<void()> function;
  };

  static void body(Fiber& fiber) noexcept {
    const std::unique_ptr<Start> start(static_cast<Start*>(fiber.owner));
    Loop& loop = start->loop;
    if (!fiber.started()) {
      loop.failures.emplace_back(fiber.scheduler->start_failure());
    } else {
      try {
        start->function();
      } catch (const ForcedUnwind&) {
      } catch (...) {
        ADD_FAILURE() << "an exception left a fiber";
      }
    }
    if (--loop.left_ == 0) loop.scheduler_->stop();
  }

  VirtualClock clock_;
  std::unique_ptr<Scheduler> scheduler_;
  std::size_t left_ = 0;
  std::vector<std::unique_ptr<Start>> abandoned_;
};

// Suspends until Scheduler::wake_fiber wakes the fiber; throws when the loop closes.
inline void sleep_until_woken() {
  Fiber& self = *current_fiber();
  self.set_wait(AIOFIBER_WAIT_OTHER, 0, 0);
  self.state = AIOFIBER_WAITING;
  self.scheduler->suspend();
  if (self.unwinding) throw ForcedUnwind();
}

using Log = std::vector<std::string>;

// A node of the ready queue that calls a function outside any fiber.
struct Callback : Runnable {
  explicit Callback(std::function<void()> fn)
      : Runnable(Kind::kCallback, [](Runnable& node) { static_cast<Callback&>(node).function(); }),
        function(std::move(fn)) {}
  std::function<void()> function;
};

}  // namespace aiofiber::runtime
