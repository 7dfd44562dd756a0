// SPDX-License-Identifier: Apache-2.0
//
// Saturating arithmetic on times. All additions to deadlines and subtractions from them are here.
//
// A program may give any 64-bit number as a delay, a limit or a deadline. `deadline - now` of a deadline far
// in the past wraps around and becomes a sleep of 292 years, so tools/tidy.py rejects that spelling.
#pragma once

#include <cstdint>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

constexpr std::int64_t saturating_add(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return b > 0 ? INT64_MAX : INT64_MIN;
  return sum;
}

constexpr std::int64_t saturating_subtract(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) return b < 0 ? INT64_MAX : INT64_MIN;
  return difference;
}

// The time until the deadline: 0 when it has passed, kForever when there is none.
constexpr Nanoseconds time_until(Nanoseconds deadline, Nanoseconds now) noexcept {
  if (deadline == kForever) return kForever;
  return deadline <= now ? 0 : saturating_subtract(deadline, now);
}

// The deadline that lies `duration` after `now`; kForever if the duration is kForever or the sum overflows.
constexpr Nanoseconds deadline_after(Nanoseconds now, Nanoseconds duration) noexcept {
  return duration == kForever ? kForever : saturating_add(now, duration);
}

}  // namespace aiofiber::runtime
