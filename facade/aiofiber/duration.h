// SPDX-License-Identifier: Apache-2.0
//
// Durations and points of time of the API: integer nanoseconds, made from any chrono duration.
//
// Duration saturates instead of overflowing, so that any huge number may mean "forever".
// It refuses NaN.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/saturating.h"

namespace aiofiber {

namespace detail {
// A number has no unit. This error names the remedy; "no matching function" would not.
template <class Number>
struct LengthOfTime {
  static_assert(!std::is_arithmetic_v<Number>,
                "a length of time wants a unit: 1s, 2.5s, 10ms (using namespace std::chrono_literals)");
  static constexpr bool value = true;
};

// Durations of other libraries: the header that knows them specialises this with nanoseconds(T) (absl.h).
template <class T>
struct OtherDuration {};
}  // namespace detail

// A length of time. Every chrono duration converts to it, also `2.5s`. Values out of range saturate.
// Errors: ValueError for NaN.
class Duration {
 public:
  constexpr Duration() noexcept = default;
  // From any chrono duration, rounded to whole nanoseconds if its count is a floating-point number, else cut
  // off. What is out of range (292 years) saturates. ValueError: NaN.
  template <class Rep, class Period>
  constexpr Duration(std::chrono::duration<Rep, Period> duration) : ns_(convert(duration)) {}
  template <class Number>
  requires std::is_arithmetic_v<Number>
  constexpr Duration(Number) {  // refused: see LengthOfTime
    static_assert(detail::LengthOfTime<Number>::value);
  }
  // From a type of another library for which a header of ours has the conversion (absl.h).
  template <class Other>
  requires requires(Other duration) { detail::OtherDuration<Other>::nanoseconds(duration); }
  constexpr Duration(Other duration) : ns_(detail::OtherDuration<Other>::nanoseconds(duration)) {}

  constexpr std::int64_t nanoseconds() const noexcept { return ns_; }  // the length, whole
  // The same length for <chrono>.
  constexpr operator std::chrono::nanoseconds() const noexcept { return std::chrono::nanoseconds(ns_); }
  // the length, as asyncio counts it
  constexpr double seconds() const noexcept { return static_cast<double>(ns_) * 1e-9; }

  // The longest: a wait this long never ends.
  static constexpr Duration max() noexcept { return Duration(Nanoseconds{kMax}); }

  friend constexpr bool operator==(Duration, Duration) noexcept = default;
  friend constexpr auto operator<=>(Duration, Duration) noexcept = default;
  // Also with a chrono duration on one side. The result saturates.
  friend constexpr Duration operator+(Duration a, Duration b) noexcept {
    return Duration(Nanoseconds{runtime::saturating_add(a.ns_, b.ns_)});
  }
  friend constexpr Duration operator-(Duration a, Duration b) noexcept {
    return Duration(Nanoseconds{runtime::saturating_subtract(a.ns_, b.ns_)});
  }
  friend constexpr Duration operator-(Duration a) noexcept { return Duration() - a; }

 private:
  static constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  struct Nanoseconds {
    std::int64_t count;
  };
  explicit constexpr Duration(Nanoseconds ns) noexcept : ns_(ns.count) {}

  template <class Rep, class Period>
  static constexpr std::int64_t convert(std::chrono::duration<Rep, Period> duration) {
    using Nanos = std::chrono::duration<long double, std::nano>;
    if constexpr (std::is_floating_point_v<Rep>) {
      if (duration.count() != duration.count()) throw ValueError("Invalid delay: NaN (not a number)");
      const long double ns = Nanos(duration).count();
      if (ns >= static_cast<long double>(kMax)) return kMax;
      if (ns <= -static_cast<long double>(kMax)) return -kMax;
      // std::round() would need <cmath>, which is a tenth of all that asyncio.h includes.
      const auto whole = static_cast<std::int64_t>(ns);
      const long double rest = ns - static_cast<long double>(whole);
      return rest >= 0.5L ? whole + 1 : rest <= -0.5L ? whole - 1 : whole;
    } else if constexpr (std::ratio_equal_v<Period, std::nano> && std::is_convertible_v<Rep, std::int64_t> &&
                         std::is_signed_v<Rep> && sizeof(Rep) <= sizeof(std::int64_t)) {
      return static_cast<std::int64_t>(duration.count());
    } else {
      // Also for unsigned and 128-bit counts. The comparison comes before any narrowing. It is exact where
      // long double has 64 bits of mantissa. Elsewhere the last few nanoseconds of the range saturate.
      const long double ns = Nanos(duration).count();
      if (ns >= static_cast<long double>(kMax)) return kMax;
      if (ns <= -static_cast<long double>(kMax)) return -kMax;
      return std::chrono::duration_cast<std::chrono::duration<std::int64_t, std::nano>>(duration).count();
    }
  }

  std::int64_t ns_ = 0;
};

// The clock of a loop, as a chrono clock type; read it with EventLoop::time().
struct Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;
};

// A point on a loop's clock.
using TimePoint = std::chrono::time_point<Clock>;

// when + delay without overflow: the sum saturates.
constexpr TimePoint saturating_add(TimePoint when, Duration delay) noexcept {
  return TimePoint(std::chrono::nanoseconds(
      runtime::saturating_add(when.time_since_epoch().count(), delay.nanoseconds())));
}

// A point of time, a Duration earlier or later; it saturates. With a chrono duration (loop.time() + 5s) these
// are chrono's operators, which do not.
constexpr TimePoint operator+(TimePoint when, Duration delay) noexcept { return saturating_add(when, delay); }
constexpr TimePoint operator+(Duration delay, TimePoint when) noexcept { return saturating_add(when, delay); }
constexpr TimePoint operator-(TimePoint when, Duration delay) noexcept {
  return TimePoint(std::chrono::nanoseconds(
      runtime::saturating_subtract(when.time_since_epoch().count(), delay.nanoseconds())));
}

}  // namespace aiofiber
