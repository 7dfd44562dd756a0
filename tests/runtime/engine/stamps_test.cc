// SPDX-License-Identifier: Apache-2.0
//
// Stamps become times by two readings of the clock. Tests of the arithmetic with given readings; and, on the
// real clock, stamps between two moments must give times between them.
#include <gtest/gtest.h>

#include "aiofiber/runtime/engine/clock.h"

namespace aiofiber::runtime {
namespace {

constexpr Stamps::Reading kFirst{1'000'000, 5'000}, kSecond{4'000'000, 6'000};  // 3,000 stamps a nanosecond

TEST(Stamps, LieOnTheLineThroughBothReadings) {
  EXPECT_EQ(Stamps::time(1'000'000, kFirst, kSecond), 5'000);
  EXPECT_EQ(Stamps::time(2'500'000, kFirst, kSecond), 5'500);
  EXPECT_EQ(Stamps::time(4'000'000, kFirst, kSecond), 6'000);
}

TEST(Stamps, AreExtrapolatedOutsideOfThem) {
  EXPECT_EQ(Stamps::time(4'300'000, kFirst, kSecond), 6'100);
  EXPECT_EQ(Stamps::time(700'000, kFirst, kSecond), 4'900);
}

TEST(Stamps, NeedTwoDifferentReadings) { EXPECT_EQ(Stamps::time(123, kSecond, kSecond), kSecond.time); }

TEST(Stamps, OfOneThreadAreInOrderAndBetweenTheClocksReadings) {
  const Nanoseconds begin = SteadyClock::instance().now();
  const Stamps::Reading first = Stamps::read();
  std::uint64_t stamps[1000];
  for (std::uint64_t& stamp : stamps) stamp = Stamps::now();
  const Stamps::Reading second = Stamps::read();
  const Nanoseconds end = SteadyClock::instance().now();
  EXPECT_LE(begin, first.time);
  EXPECT_LE(second.time, end);
  // A reading's two halves are a call of the clock apart; the test may be interrupted in between, never in a
  // pair that is used.
  constexpr Nanoseconds kReadingError = 10'000;
  Nanoseconds before = begin - kReadingError;
  for (const std::uint64_t stamp : stamps) {
    const Nanoseconds time = Stamps::time(stamp, first, second);
    EXPECT_LE(before, time);
    before = time;
  }
  EXPECT_LE(before, end + kReadingError);
}

}  // namespace
}  // namespace aiofiber::runtime
