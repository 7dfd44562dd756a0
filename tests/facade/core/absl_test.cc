// SPDX-License-Identifier: Apache-2.0
//
// abseil's durations and times: they become ours and come back, saturate at both ends, and drive timers.
#include "aiofiber/absl.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
std::int64_t ns(Duration duration) { return duration.nanoseconds(); }
std::int64_t ns(TimePoint when) { return when.time_since_epoch().count(); }
TimePoint at(std::int64_t ns) { return TimePoint(std::chrono::nanoseconds(ns)); }

// A loop that has run for an hour, on a day of 2026.
const ClockReading kReading{at(3'600'000'000'000), absl::FromUnixSeconds(1'780'000'000)};

static_assert(std::is_convertible_v<absl::Duration, Duration>);
static_assert(!std::is_convertible_v<absl::Time, Duration> && !std::is_convertible_v<absl::Time, TimePoint>,
              "a time has no place on a loop's clock without a reading");

TEST(AbslDuration, ConvertsInWholeNanoseconds) {
  EXPECT_EQ(ns(absl::Milliseconds(1500)), 1'500'000'000);
  EXPECT_EQ(ns(absl::Nanoseconds(-7)), -7);
  EXPECT_EQ(ns(absl::ZeroDuration()), 0);
  EXPECT_EQ(ns(absl::Nanoseconds(2.75)), 2);
  EXPECT_EQ(ns(absl::Nanoseconds(-2.75)), -2);
}

TEST(AbslDuration, SaturatesAtBothEnds) {
  EXPECT_EQ(Duration(absl::InfiniteDuration()), Duration::max());
  EXPECT_EQ(ns(-absl::InfiniteDuration()), -kMax);
  EXPECT_EQ(ns(absl::Hours(24 * 365 * 1000)), kMax);
  EXPECT_EQ(ns(-absl::Hours(24 * 365 * 1000)), -kMax);
  EXPECT_EQ(ns(absl::Nanoseconds(kMax - 1)), kMax - 1);
}

TEST(AbslDuration, ComesBackAsItWas) {
  for (const absl::Duration each :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Seconds(-3), absl::Hours(24 * 365 * 100),
        absl::InfiniteDuration(), -absl::InfiniteDuration()}) {
    EXPECT_EQ(to_absl_duration(each), each);
  }
  EXPECT_EQ(to_absl_duration(2.5s), absl::Milliseconds(2500));
  EXPECT_EQ(to_absl_duration(std::chrono::nanoseconds::min()), -absl::InfiniteDuration());
}

TEST(AbslDuration, IsALengthOfTimeForEveryCall) {
  TestLoop loop;
  const TimePoint begin = loop.time();
  loop.run_until_complete([] {
    await(sleep(absl::Seconds(2)));
    EXPECT_THROW(await(wait_for([] { await(sleep(absl::InfiniteDuration())); }, absl::Seconds(3))),
                 TimeoutError);
  });
  EXPECT_EQ(loop.time() - begin, 5s);
  loop.close();
}

TEST(AbslTime, IsTranslatedByAReadingOfBothClocks) {
  EXPECT_EQ(to_time_point(kReading.wall_time, kReading), kReading.loop_time);
  EXPECT_EQ(to_time_point(kReading.wall_time + absl::Seconds(5), kReading), kReading.loop_time + 5s);
  EXPECT_EQ(to_time_point(kReading.wall_time - absl::Hours(2), kReading), kReading.loop_time - 2h);
  EXPECT_EQ(to_absl_time(kReading.loop_time + 5s, kReading), kReading.wall_time + absl::Seconds(5));
  EXPECT_EQ(to_absl_time(at(-1), kReading), kReading.wall_time - absl::Hours(1) - absl::Nanoseconds(1));
}

TEST(AbslTime, OfInfinityNeverComesOrIsOver) {
  EXPECT_EQ(to_time_point(absl::InfiniteFuture(), kReading), TimePoint::max());
  EXPECT_EQ(to_time_point(absl::InfinitePast(), kReading), TimePoint::min());
  EXPECT_EQ(to_absl_time(TimePoint::max(), kReading), absl::InfiniteFuture());
  EXPECT_EQ(to_absl_time(TimePoint::min(), kReading), absl::InfinitePast());
}

TEST(AbslTime, OutsideTheLoopsRangeSaturates) {
  const absl::Duration years_300 = absl::Hours(24) * 365 * 300;
  EXPECT_EQ(to_time_point(kReading.wall_time + years_300, kReading), TimePoint::max());
  EXPECT_EQ(to_time_point(kReading.wall_time - years_300, kReading), TimePoint::min());
  // Also where only the sum is out of range.
  const ClockReading late{at(kMax - 5), kReading.wall_time};
  EXPECT_EQ(ns(to_time_point(kReading.wall_time + absl::Nanoseconds(4), late)), kMax - 1);
  EXPECT_EQ(to_time_point(kReading.wall_time + absl::Nanoseconds(6), late), TimePoint::max());
  // A difference that does not fit into 64 bits comes back nevertheless.
  const ClockReading negative{at(-kMax), kReading.wall_time};
  EXPECT_EQ(to_absl_time(at(kMax - 1), negative),
            kReading.wall_time + absl::Nanoseconds(kMax) + absl::Nanoseconds(kMax - 1));
}

TEST(AbslTime, SetsATimer) {
  TestLoop loop;
  const ClockReading reading{loop.time(), kReading.wall_time};
  TimePoint called;
  loop.run_until_complete([&] {
    loop.call_at(to_time_point(reading.wall_time + absl::Seconds(7), reading), [&] { called = loop.time(); });
    await(sleep(absl::Seconds(8)));
  });
  EXPECT_EQ(called, reading.loop_time + 7s);
  loop.close();
}

TEST(AbslTime, OfALoopIsReadFromBothClocksNow) {
  const auto loop = new_event_loop();
  const absl::Time wall_before = absl::Now();
  const TimePoint loop_before = loop->time();
  const ClockReading reading = ClockReading::of(*loop);
  EXPECT_GE(reading.loop_time, loop_before);
  EXPECT_LE(reading.loop_time, loop->time());
  // The wall clock of a machine under test may be set, but not by an hour in the middle of this.
  EXPECT_LT(absl::AbsDuration(reading.wall_time - wall_before), absl::Hours(1));
  EXPECT_LT(absl::AbsDuration(to_absl_time(loop->time(), *loop) - absl::Now()), absl::Hours(1));
  EXPECT_LT(loop->time(), to_time_point(absl::Now() + absl::Hours(1), *loop));
  loop->close();
}

}  // namespace
}  // namespace aiofiber
