// SPDX-License-Identifier: Apache-2.0
//
// What is a wait for a core, and what is not, in made-up readings of the kernel's counters. Times are in
// milliseconds. `ran` and `waited` are what happened since the reading before.
#include "inspect/core_wait.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace aiofiber::runtime {
namespace {

class Readings {
 public:
  Readings() { wait_.start(use_, now_); }
  Nanoseconds after(Nanoseconds passed, Nanoseconds ran, Nanoseconds waited, bool runnable) {
    now_ += passed;
    use_ = {use_.ran + ran, use_.waited + waited, runnable};
    return wait_.look(use_, now_);
  }

 private:
  CoreUse use_{1000, 5000, true};
  Nanoseconds now_ = 77;
  CoreWait wait_;
};
constexpr bool kRunnable = true, kSleeps = false;

TEST(CoreWait, IsNoneWhileTheThreadComputes) {
  Readings readings;
  EXPECT_EQ(readings.after(10, 10, 0, kRunnable), 0);
  EXPECT_EQ(readings.after(10, 10, 0, kRunnable), 0);
}

TEST(CoreWait, IsNoneWhileTheThreadIsInABlockingCall) {
  Readings readings;
  EXPECT_EQ(readings.after(10, 1, 0, kSleeps), 0);
  EXPECT_EQ(readings.after(100, 0, 0, kSleeps), 0);
}

TEST(CoreWait, CountsBeforeTheKernelCountsIt) {
  Readings readings;
  EXPECT_EQ(readings.after(10, 0, 0, kRunnable), 10);
  EXPECT_EQ(readings.after(10, 0, 0, kRunnable), 20);
  EXPECT_EQ(readings.after(10, 3, 27, kRunnable), 27);  // the kernel tells the truth
  EXPECT_EQ(readings.after(10, 10, 0, kRunnable), 27);
}

// The thread that looks has no core either: much happens between two looks.
TEST(CoreWait, CountsAlsoWhereTheLooksAreFarApart) {
  Readings readings;
  EXPECT_EQ(readings.after(100, 2, 0, kRunnable), 98);     // ran, and waits since
  EXPECT_EQ(readings.after(500, 4, 300, kRunnable), 594);  // that wait is over, and there is another one
  EXPECT_EQ(readings.after(100, 1, 300, kRunnable), 693);  // again
}

TEST(CoreWait, OfASleeperIsOnlyWhatTheKernelCounted) {
  Readings readings;
  EXPECT_EQ(readings.after(100, 2, 30, kSleeps), 30);
}

TEST(CoreWait, ThatWasOnlySupposedIsTakenBack) {
  Readings readings;
  readings.after(100, 0, 0, kSleeps);
  EXPECT_EQ(readings.after(100, 1, 0, kRunnable), 99);  // a wait, or a sleep that has just ended
  EXPECT_EQ(readings.after(10, 10, 0, kRunnable), 0);   // a sleep
}

TEST(CoreWait, BeforeTheStartDoesNotCount) {
  Readings readings;
  EXPECT_EQ(readings.after(100, 60, 3000, kRunnable), 40);
  EXPECT_EQ(readings.after(100, 100, 0, kRunnable), 40);
}

// The kernel brings the counters of a running thread up to date at its ticks.
TEST(CoreWait, IsTakenBackWhereTheCounterOfTheRunningThreadLagged) {
  Readings readings;
  EXPECT_EQ(readings.after(2, 0, 0, kRunnable), 2);
  EXPECT_EQ(readings.after(2, 4, 0, kRunnable), 0);
}

TEST(CoreWait, IsUnknownWhereTheKernelTellsNothing) {
  CoreWait wait;
  wait.start({0, 0, true}, 0);
  EXPECT_EQ(wait.look({0, 0, true}, 100), 0);
  EXPECT_FALSE(waits_for_core({0, 0, true}, {0, 0, true}));
}

TEST(CoreWait, LastsWhileTheThreadCanRunAndDoesNot) {
  EXPECT_TRUE(waits_for_core({5, 9, true}, {5, 9, true}));
  EXPECT_FALSE(waits_for_core({5, 9, true}, {6, 9, true}));
  EXPECT_FALSE(waits_for_core({5, 9, true}, {5, 9, false}));
}

TEST(CoreWait, ReadsThisThreadAsRunnable) { EXPECT_TRUE(core_use(::gettid()).runnable); }

}  // namespace
}  // namespace aiofiber::runtime
