// SPDX-License-Identifier: Apache-2.0
//
// Parking: wakes, deadlines and interruptions, in any order.
// Labels: threads
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "aiofiber/runtime/engine/parker.h"
#include "support/fiber_loop.h"

namespace aiofiber::runtime {
namespace {

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

TEST(Parker, ShowsALimitThatChangesDuringTheWait) {
  Loop loop;
  Fiber* waits = nullptr;
  std::vector<std::uint64_t> shown;
  const auto change = [&](std::uint64_t limit) {
    set_limit(*waits, limit);
    shown.push_back(waits->wait_limit);
  };
  loop.spawn([&] {
    waits = current_fiber();
    waits->shorten_limit(30);
    Parker parker;
    parker.park(AIOFIBER_WAIT_OTHER, 0, 50, {0, 50});
    shown.push_back(waits->wait_limit);  // of the code, and no more of the wait
    change(0);
    Parker sleep;
    sleep.park(AIOFIBER_WAIT_SLEEP, 0, 200);
    shown.push_back(waits->wait_limit);
  });
  loop.spawn([&] {
    shown.push_back(waits->wait_limit);
    for (const std::uint64_t limit : {20u, 100u, 0u, 40u, 70u}) change(limit);
    Parker parker;
    parker.park(AIOFIBER_WAIT_SLEEP, 0, 100);
    change(150);  // a sleep tells its end itself
  });
  loop.run();
  EXPECT_EQ(shown, (std::vector<std::uint64_t>{30, 20, 50, 50, 40, 50, 70, 0, 150, 150}));
}

TEST(Parker, GivesTheLongerWaitToTheLaterFiber) {
  Loop loop;
  Log log;
  for (const int seconds : {3, 1, 2}) {
    loop.spawn([&log, seconds] {
      Parker parker;
      parker.park(AIOFIBER_WAIT_SLEEP, 0, seconds * Nanoseconds{1'000'000'000});
      log.push_back(std::to_string(seconds));
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"1", "2", "3"}));
}

TEST(Parker, KeepsAWakeThatCameBeforeThePark) {
  Loop loop;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker parker;
    parker.unpark();
    reason = parker.park(AIOFIBER_WAIT_OTHER, 0);
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

TEST(Parker, LetsTheFirstReasonDecide) {
  Loop loop;
  Parker* parker = nullptr;
  Wake reason = Wake::kNone;
  bool interrupt_was_first = true;
  loop.spawn([&] {
    Parker own;
    parker = &own;
    reason = own.park(AIOFIBER_WAIT_OTHER, 0);
    EXPECT_FALSE(current_fiber()->interrupted);
  });
  loop.spawn([&] {
    parker->unpark();
    interrupt_was_first = parker->interrupt();
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
  EXPECT_FALSE(interrupt_was_first);
}

TEST(Parker, KeepsSayingInterruptedUntilTheInterruptionIsRaised) {
  Loop loop;
  Parker* parker = nullptr;
  std::vector<Wake> reasons;
  loop.spawn([&] {
    {
      Parker own;
      parker = &own;
      reasons.push_back(own.park(AIOFIBER_WAIT_OTHER, 0, 1'000));
    }
    Parker second;
    reasons.push_back(second.park(AIOFIBER_WAIT_OTHER, 0, 1'000));
    current_fiber()->interrupted = false;  // as the facade does when it raises the error
    Parker third;
    reasons.push_back(third.park(AIOFIBER_WAIT_OTHER, 0, 1'000));
  });
  loop.spawn([&] { EXPECT_TRUE(parker->interrupt()); });
  loop.run();
  EXPECT_EQ(reasons, (std::vector{Wake::kInterrupted, Wake::kInterrupted, Wake::kTimedOut}));
}

// The deadline passes while the woken fiber is still in the queue: its node must not be queued behind the
// fiber, whose frame is gone by then.
TEST(Parker, DropsADeadlineThatExpiresAfterTheWake) {
  Loop loop;
  Parker* parker = nullptr;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    {
      Parker own;
      parker = &own;
      reason = own.park(AIOFIBER_WAIT_OTHER, 0, 1'000);
    }
    yield_now();
    yield_now();
  });
  loop.spawn([&] {
    parker->unpark();
    loop.clock().burn(5'000);
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

struct UnparkTimer : Timer {
  UnparkTimer()
      : Timer(Kind::kInternal, [](Runnable& node) { static_cast<UnparkTimer&>(node).parker->unpark(); }) {}
  Parker* parker = nullptr;
};

// The other way round: the deadline decides, and the unpark comes before the fiber runs.
TEST(Parker, IgnoresAnUnparkAfterTheDeadline) {
  Loop loop;
  UnparkTimer unparks;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker own;
    unparks.parker = &own;
    reason = own.park(AIOFIBER_WAIT_OTHER, 0, 1'000);
  });
  loop.spawn([&] { loop.scheduler().timers().start(unparks, 1'000); });  // same deadline, later in the queue
  loop.run();
  EXPECT_FALSE(unparks.armed());
  EXPECT_EQ(reason, Wake::kTimedOut);
}

// The deadline is queued already when something queued before it unparks the fiber.
TEST(Parker, RunsAQueuedDeadlineBeforeItsFiber) {
  Loop loop;
  UnparkTimer unparks;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker own;
    unparks.parker = &own;
    loop.scheduler().timers().start(unparks, 1'000);  // same deadline, earlier in the queue
    reason = own.park(AIOFIBER_WAIT_OTHER, 0, 1'000);
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

}  // namespace
}  // namespace aiofiber::runtime
