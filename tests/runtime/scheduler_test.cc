// SPDX-License-Identifier: Apache-2.0
//
// The scheduler with everything that suspends on it: switching, parking, descriptors, offloaded calls, other
// threads, and the unwinding of fibers whose loop closes.
//
// Each test owns a scheduler (class Loop below) that runs until its last fiber has ended, and finds no fiber
// and no stack left over afterwards. Time is virtual unless real threads take part.
#include <aiofiber/runtime/fd_wait.h>
#include <aiofiber/runtime/make_scheduler.h>
#include <aiofiber/runtime/offload.h>
#include <aiofiber/runtime/parker.h>
#include <aiofiber/runtime/scheduler.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace aiofiber::runtime {
namespace {

// ---- A loop for tests -------------------------------------------------------------------------------------

// Runs functions as fibers. A body that sees ForcedUnwind ends, as a task of the facade does.
class Loop {
 public:
  explicit Loop(Clock& clock) : scheduler_(make_scheduler(clock)) {}
  Loop() : Loop(clock_) {}
  ~Loop() {
    EXPECT_EQ(scheduler_->fibers_alive(), 0u);
    EXPECT_EQ(scheduler_->stacks().stacks_in_use(), abandoned_);
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
  // Runs the passes that are possible without anything from outside, then returns. Uses the virtual clock's
  // Deadlock, by which run() is left.
  void run_until_stuck() { EXPECT_THROW(scheduler_->run(), Deadlock); }
  bool unwind(Fiber& fiber) {
    const bool ended = scheduler_->unwind(fiber);
    if (!ended) {
      --left_;
      ++abandoned_;
    }
    return ended;
  }

  Scheduler& scheduler() { return *scheduler_; }
  VirtualClock& clock() { return clock_; }
  std::vector<std::string> failures;  // start_failure of fibers that got no stack

 private:
  struct Start {
    Loop& loop;
    std::function<void()> function;
  };

  static void body(Fiber& fiber) noexcept {
    const std::unique_ptr<Start> start(static_cast<Start*>(fiber.owner));
    Loop& loop = start->loop;
    if (fiber.start_failure != nullptr) {
      loop.failures.emplace_back(fiber.start_failure);
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
  std::size_t abandoned_ = 0;
};

// Suspends until somebody wakes the fiber by Scheduler::wake_fiber; throws when the loop closes.
void sleep_until_woken() {
  Fiber& self = *current_fiber();
  self.set_wait(AIOFIBER_WAIT_OTHER, 0, 0);
  self.state = AIOFIBER_WAITING;
  self.scheduler->suspend();
  if (self.unwinding) throw ForcedUnwind();
}

using Log = std::vector<std::string>;

// ---- Running ----------------------------------------------------------------------------------------------

TEST(Fibers, RunInTheOrderInWhichTheyBecameReady) {
  Loop loop;
  Log log;
  for (const char* name : {"a", "b", "c"}) loop.spawn([&log, name] { log.emplace_back(name); });
  EXPECT_TRUE(log.empty());
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
}

TEST(Fibers, KnowWhoTheyAreOnlyWhileTheyRun) {
  Loop loop;
  Fiber* seen = nullptr;
  Scheduler* seen_scheduler = nullptr;
  Fiber& fiber = loop.spawn([&] {
    seen = current_fiber();
    seen_scheduler = Scheduler::current();
  });
  loop.run();
  EXPECT_EQ(seen, &fiber);
  EXPECT_EQ(seen_scheduler, &loop.scheduler());
  EXPECT_EQ(current_fiber(), nullptr);
  EXPECT_EQ(Scheduler::current(), nullptr);
}

TEST(Fibers, AlternateWhenTheyYield) {
  Loop loop;
  Log log;
  for (const char* name : {"ping", "pong"}) {
    loop.spawn([&log, name] {
      for (int i = 0; i < 3; ++i) {
        log.emplace_back(name);
        yield_now();
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"ping", "pong", "ping", "pong", "ping", "pong"}));
}

TEST(Fibers, AFiberThatYieldsAloneGoesOn) {
  Loop loop(SteadyClock::instance());
  int rounds = 0;
  loop.spawn([&] {
    for (; rounds < 1000; ++rounds) yield_now();
  });
  loop.run();
  EXPECT_EQ(rounds, 1000);
}

TEST(Fibers, AThousandSuspendAndAreWokenInReverse) {
  Loop loop;
  constexpr std::size_t kCount = 1000;
  std::vector<Fiber*> waiting;
  std::vector<std::size_t> woken;
  for (std::size_t i = 0; i < kCount; ++i) {
    loop.spawn([&, i] {
      waiting.push_back(current_fiber());
      sleep_until_woken();
      woken.push_back(i);
    });
  }
  loop.spawn([&] {
    EXPECT_EQ(waiting.size(), kCount);
    for (std::size_t i = kCount; i-- > 0;) loop.scheduler().wake_fiber(*waiting[i]);
  });
  loop.run();
  ASSERT_EQ(woken.size(), kCount);
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(woken[i], kCount - 1 - i);
}

// ---- Parking ----------------------------------------------------------------------------------------------

TEST(Parker, ReturnsWhenUnparked) {
  Loop loop;
  Parker* parker = nullptr;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker own;
    parker = &own;
    reason = own.park(AIOFIBER_WAIT_OTHER, 0);
  });
  loop.spawn([&] { parker->unpark(); });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

TEST(Parker, TimesOutExactlyAtItsDeadline) {
  Loop loop;
  Wake reason = Wake::kNone;
  Nanoseconds end = 0;
  loop.spawn([&] {
    Parker parker;
    reason = parker.park(AIOFIBER_WAIT_SLEEP, 0, 3'600'000'000'000);
    end = loop.scheduler().now();
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kTimedOut);
  EXPECT_EQ(end, 3'600'000'000'000);
}

// ---- Exceptions -------------------------------------------------------------------------------------------

TEST(Exceptions, AFiberSuspendedInACatchBlockRethrowsItsOwn) {
  Loop loop;
  Log log;
  for (const char* name : {"a", "b", "c"}) {
    loop.spawn([&log, name] {
      try {
        try {
          throw std::runtime_error(name);
        } catch (...) {
          yield_now();
          yield_now();
          throw;
        }
      } catch (const std::runtime_error& error) {
        log.emplace_back(error.what());
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
}

}  // namespace
}  // namespace aiofiber::runtime
