// SPDX-License-Identifier: Apache-2.0
//
// Durations of every representation, and deadlines at the ends of the range: they saturate, and a deadline in
// the past is due.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

#include "aiofiber/runtime/engine/saturating.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;

template <class Rep, class Period = std::nano>
using Of = std::chrono::duration<Rep, Period>;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t ns(Duration duration) { return duration.nanoseconds(); }

static_assert(ns(Of<std::uint64_t>(~std::uint64_t{0})) == kMax);
static_assert(ns(Of<std::uint64_t>(std::uint64_t{1} << 63)) == kMax);
static_assert(ns(Of<std::uint64_t>(static_cast<std::uint64_t>(kMax))) == kMax);
static_assert(ns(Of<std::uint64_t>(static_cast<std::uint64_t>(kMax) - 1)) == kMax - 1);
static_assert(ns(Of<std::uint32_t>(4'000'000'000u)) == 4'000'000'000);
static_assert(ns(Of<std::uint8_t, std::ratio<3600>>(255)) == 255ll * 3600 * 1'000'000'000);
static_assert(ns(Of<std::uint64_t, std::milli>(~std::uint64_t{0})) == kMax);
static_assert(ns(Of<std::int64_t>(-5)) == -5 && ns(Of<std::int64_t>(kMax)) == kMax);
static_assert(ns(Of<std::int16_t>(-5)) == -5);
static_assert(ns(std::chrono::hours::max()) == kMax && ns(std::chrono::hours::min()) == -kMax);

using Wide = __int128;
static_assert(ns(Of<Wide>(Wide{1} << 100)) == kMax);
static_assert(ns(Of<Wide>(-(Wide{1} << 100))) == -kMax);
static_assert(ns(Of<Wide>(Wide{-7})) == -7 && ns(Of<Wide, std::milli>(Wide{7})) == 7'000'000);
static_assert(ns(Of<unsigned __int128>(static_cast<unsigned __int128>(-1))) == kMax);

static_assert(runtime::saturating_add(kMax, 1) == kMax &&
              runtime::saturating_add(INT64_MIN, -1) == INT64_MIN);
static_assert(runtime::saturating_subtract(INT64_MIN, 1) == INT64_MIN &&
              runtime::saturating_subtract(0, INT64_MIN) == kMax);
static_assert(runtime::time_until(INT64_MIN, 1) == 0 && runtime::time_until(3, 1) == 2 &&
              runtime::time_until(5, INT64_MIN) == kMax);
static_assert(runtime::time_until(runtime::kForever, 1) == runtime::kForever);
static_assert(runtime::deadline_after(1, runtime::kForever) == runtime::kForever &&
              runtime::deadline_after(kMax - 1, 5) == kMax);
static_assert(runtime::deadline_after(5, -7) == -2);

// What a program calculates with them, as a stranger writes it: outside of namespace aiofiber.
}  // namespace
}  // namespace aiofiber
namespace {
using namespace std::chrono_literals;
constexpr aiofiber::TimePoint kNow(5s);
constexpr aiofiber::Duration kLimit = 1500ms;
static_assert(kNow + kLimit == kNow + 1500ms && kLimit + kNow == kNow + 1500ms);
static_assert(kNow - kLimit == kNow - 1500ms && kNow - kNow == 0s);
static_assert(kLimit + kLimit == 3s && kLimit + 1s == 2.5s && 1s + kLimit == 2.5s);
static_assert(kLimit - 1s == 500ms && 1s - kLimit == -500ms && -kLimit == -1500ms);
static_assert(kNow + aiofiber::Duration::max() == aiofiber::TimePoint::max());
static_assert(aiofiber::TimePoint::min() - aiofiber::Duration(1ns) == aiofiber::TimePoint::min());
static_assert(kLimit + aiofiber::Duration::max() == aiofiber::Duration::max());
static_assert([] {
  aiofiber::TimePoint when = kNow;
  when += kLimit;
  when -= aiofiber::Duration(500ms);
  return when == kNow + 1s;
}());
}  // namespace
namespace aiofiber {
namespace {

// The reactor's own clock is what computed the sleep: these would hang on the old arithmetic.
TEST(Durations, OfFloatingPointSaturate) {  // rounding is no constant expression for every compiler
  EXPECT_EQ(ns(Of<double>(1e30)), kMax);
  EXPECT_EQ((ns(Of<float, std::ratio<1>>(-1e30f))), -kMax);
}

TEST(Deadlines, FarInThePastAreDueOnTheSystemsClock) {
  EventLoop loop;
  loop.run_until_complete([&] {
    int called = 0;
    loop.call_at(TimePoint::min(), [&] { ++called; });
    loop.call_later(-std::chrono::hours::max(), [&] { ++called; });
    loop.call_later(Duration::max(), [&] { FAIL(); });
    await(sleep(1ms));
    EXPECT_EQ(called, 2);
    EXPECT_THROW(await(timeout(-std::chrono::hours::max(), [] { await(sleep(1h)); })), TimeoutError);
    EXPECT_THROW(await(timeout_at(TimePoint::min(), [] { await(sleep(1h)); })), TimeoutError);
    EXPECT_THROW(await(wait_for([] { await(sleep(1h)); }, -std::chrono::hours::max())), TimeoutError);
    EXPECT_EQ(await(wait_for([] { return 1; }, std::chrono::hours::max())), 1);
    EXPECT_EQ(await(timeout(Duration::max(), [] { return 2; })), 2);
  });
  loop.close();
}

TEST(Deadlines, AtTheEndsOfTimeKeepTheirOrderOnAVirtualClock) {
  TestLoop loop;
  std::string order;
  loop.call_at(TimePoint::min(), [&] { order += 'a'; });
  loop.call_later(std::chrono::hours::min(), [&] { order += 'b'; });
  loop.call_later(1s, [&] { order += 'c'; });
  loop.call_later(std::chrono::hours(24 * 365 * 290), [&] { order += 'd'; });
  loop.advance(2s);
  EXPECT_EQ(order, "abc");
  loop.advance(std::chrono::hours(24 * 365 * 291));
  EXPECT_EQ(order, "abcd");
  loop.burn(Duration::max());
  EXPECT_EQ(loop.time(), TimePoint::max());
  loop.close();
}

}  // namespace
}  // namespace aiofiber
