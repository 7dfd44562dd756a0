// SPDX-License-Identifier: Apache-2.0
//
// abseil's durations and times in the API: `await(sleep(absl::Seconds(1)))`,
// `loop.call_at(to_time_point(when, loop), f)`.
//
// asyncio.h does not include this header: who does not use abseil does not pay for it. A program that
// includes it links abseil's time: absl::time with CMake's find_package(absl), absl_time with pkg-config.
//
// absl::Time is a wall clock, which can be set. A loop's clock is monotonic, and has another zero (a
// TestLoop's is virtual). One is translated into the other with a ClockReading: what both clocks showed at
// one moment.
#pragma once

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <chrono>
#include <cstdint>
#include <limits>

#include "aiofiber/duration.h"
#include "aiofiber/event_loop.h"

namespace aiofiber {

namespace detail {
// absl::Duration converts to Duration, in whole nanoseconds: fractions are cut off, as in abseil's own
// conversions. InfiniteDuration and all that is out of range saturate, as a chrono duration does.
template <>
struct OtherDuration<absl::Duration> {
  static std::int64_t nanoseconds(absl::Duration duration) noexcept {
    const std::int64_t ns = absl::ToInt64Nanoseconds(duration);
    constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
    return ns < -kMax ? -kMax : ns;
  }
};
}  // namespace detail

// The same length of time for abseil. Duration::max(), which means for ever, is InfiniteDuration; so is its
// negative.
inline absl::Duration to_absl_duration(Duration duration) noexcept {
  if (duration == Duration::max()) return absl::InfiniteDuration();
  if (duration.nanoseconds() <= -Duration::max().nanoseconds()) return -absl::InfiniteDuration();
  return absl::Nanoseconds(duration.nanoseconds());
}

// What a loop's clock and the wall clock showed at one moment.
struct ClockReading {
  TimePoint loop_time;   // on the clock of EventLoop::time()
  absl::Time wall_time;  // as absl::Now() gives it

  // Reads both clocks now, one right after the other.
  static ClockReading of(const EventLoop& loop) noexcept { return {loop.time(), absl::Now()}; }
};

// The point on the loop's clock at which the wall clock shows `wall_time`, if nobody sets it meanwhile: a
// timer that was made with the result does not follow a wall clock that is set. InfiniteFuture and what is
// later than the clock's range (292 years) is TimePoint::max(), which never comes; InfinitePast and what is
// earlier is TimePoint::min(), which is over.
inline TimePoint to_time_point(absl::Time wall_time, const ClockReading& reading) noexcept {
  const absl::Duration on_loop =
      absl::Nanoseconds(reading.loop_time.time_since_epoch().count()) + (wall_time - reading.wall_time);
  return TimePoint(std::chrono::nanoseconds(absl::ToInt64Nanoseconds(on_loop)));
}
inline TimePoint to_time_point(absl::Time wall_time, const EventLoop& loop) noexcept {
  return to_time_point(wall_time, ClockReading::of(loop));
}

// What the wall clock shows at `when`, if nobody sets it meanwhile. TimePoint::max() is InfiniteFuture, and
// TimePoint::min() is InfinitePast.
inline absl::Time to_absl_time(TimePoint when, const ClockReading& reading) noexcept {
  if (when == TimePoint::max()) return absl::InfiniteFuture();
  if (when == TimePoint::min()) return absl::InfinitePast();
  return reading.wall_time + (absl::Nanoseconds(when.time_since_epoch().count()) -
                              absl::Nanoseconds(reading.loop_time.time_since_epoch().count()));
}
inline absl::Time to_absl_time(TimePoint when, const EventLoop& loop) noexcept {
  return to_absl_time(when, ClockReading::of(loop));
}

}  // namespace aiofiber
