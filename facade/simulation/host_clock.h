// SPDX-License-Identifier: Apache-2.0
//
// The clock of one simulated machine: the simulation's time, at the machine's own rate.
//
// It stands still while the machine's code runs. It never advances by itself: the simulation does that. While
// a call of the machine works on another thread (a hooked fsync()), the clock waits for it in real time, so
// that such a call takes no simulated time at all.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::testing::detail {

class HostClock final : public runtime::Clock {
 public:
  // `now`: the simulation's time.
  explicit HostClock(const runtime::Nanoseconds& now) noexcept : now_(now) {}

  runtime::Nanoseconds now() const noexcept override {
    return rate_ == 1.0 ? own_ + (now_ - since_) : own_ + scaled(now_ - since_, rate_);
  }
  void wait_until(runtime::Nanoseconds, runtime::Reactor& reactor) override {
    reactor.poll(answers_due_ > 0 ? kRealPatience : 0);
  }
  bool polls_every_pass() const noexcept override { return true; }
  void expect_answers(std::ptrdiff_t change) noexcept override { answers_due_ += change; }
  bool answers_are_due() const noexcept { return answers_due_ > 0; }

  void set_rate(double rate) noexcept {
    own_ = now();
    since_ = now_;
    rate_ = rate;
  }
  // The simulation's time when this clock shows `time`; not exact if the rate is not 1.
  runtime::Nanoseconds when(runtime::Nanoseconds time) const noexcept {
    if (time == runtime::kForever) return time;
    if (time <= own_) return since_;
    const runtime::Nanoseconds left = time - own_;
    if (rate_ == 1.0) return runtime::saturating_add(since_, left);
    return runtime::saturating_add(since_, scaled(left, 1.0 / rate_));
  }

 private:
  static constexpr runtime::Nanoseconds kRealPatience = 10'000'000'000;
  static runtime::Nanoseconds scaled(runtime::Nanoseconds length, double factor) noexcept {
    constexpr double kMost = 9.0e18;
    return static_cast<runtime::Nanoseconds>(
        std::min(std::ceil(static_cast<double>(length) * factor), kMost));
  }

  const runtime::Nanoseconds& now_;
  runtime::Nanoseconds own_ = 0;    // what the clock showed
  runtime::Nanoseconds since_ = 0;  // when the simulation's time was this
  double rate_ = 1.0;
  std::ptrdiff_t answers_due_ = 0;
};

}  // namespace aiofiber::testing::detail
