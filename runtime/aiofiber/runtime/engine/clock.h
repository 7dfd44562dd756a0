// SPDX-License-Identifier: Apache-2.0
//
// The seam for time: the only place where the runtime learns what time it is, and where it decides to
// let time pass.
//
// SteadyClock is CLOCK_MONOTONIC. VirtualClock stands still while code runs and jumps to the next
// deadline when the loop would otherwise sleep, so that a test of an hour takes milliseconds and sees
// exact times. The loop's pass is the same for both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/saturating.h"

namespace aiofiber::runtime {

class Reactor;

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an arbitrary but fixed point; never goes back.
  virtual Nanoseconds now() const noexcept = 0;
  // Called by the loop when it has nothing to run before `deadline` (kForever: nothing scheduled at all).
  // Polls the reactor, and returns when something may have become ready or the deadline was reached.
  virtual void wait_until(Nanoseconds deadline, Reactor& reactor) = 0;
  // Whether every pass must poll the reactor: a virtual clock wants the exact passes of asyncio.
  virtual bool polls_every_pass() const noexcept { return false; }
  // So many answers more (or, below zero, fewer) are due from threads that work for the loop. For a clock
  // that decides when time may pass.
  virtual void expect_answers(std::ptrdiff_t) noexcept {}
};

// CLOCK_MONOTONIC (POSIX clock_gettime).
class SteadyClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override;
  void wait_until(Nanoseconds deadline, Reactor& reactor) override;
  // The process-wide instance; it has no state.
  static SteadyClock& instance() noexcept;
};

// Stamps for what happens millions of times a second, at half the price of a clock: the CPU's counter where
// the kernel makes CLOCK_MONOTONIC of it (its clocksource is "tsc": same rate on all CPUs, never stops), else
// that clock's nanoseconds.
//
// Stamps become times by two readings of both, one before and one behind them, so the counter's rate is never
// assumed, and the kernel's corrections of its own (NTP) are followed from reading to reading. Threads: any.
class Stamps {
 public:
  struct Reading {
    std::uint64_t stamp;
    Nanoseconds time;
  };
  static std::uint64_t now() noexcept;
  // Both, at the same moment but for some 20 ns.
  static Reading read() noexcept;
  // The time of a stamp, on the line through both readings. Of one behind the second, an extrapolation.
  static Nanoseconds time(std::uint64_t stamp, const Reading& first, const Reading& second) noexcept;
};

class VirtualClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return now_; }
  void wait_until(Nanoseconds deadline, Reactor& reactor) override;
  bool polls_every_pass() const noexcept override { return true; }

  // Moves time forward from inside a callback, as if the callback had taken that long.
  void burn(Nanoseconds duration) noexcept { now_ = saturating_add(now_, duration); }
  // Real threads or signals may wake the loop: before it jumps, time passes as in reality for 2 ms, and for a
  // second while a call on another thread is under way; with nothing to jump to, for 5 s. At most, as a jump
  // of less takes no longer.
  void set_may_block(bool may_block) noexcept { may_block_ = may_block; }
  void expect_answers(std::ptrdiff_t change) noexcept override { answers_due_ += change; }

 private:
  std::ptrdiff_t answers_due_ = 0;
  Nanoseconds now_ = 0;
  bool may_block_ = false;
};

// Thrown out of the loop by a virtual clock when nothing is ready, nothing is scheduled and nothing is
// expected: with a real clock the program would hang here for ever.
class Deadlock {
 public:
  const char* what() const noexcept { return "DEADLOCK: nothing ready, nothing scheduled"; }
};

}  // namespace aiofiber::runtime
