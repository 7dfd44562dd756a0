// SPDX-License-Identifier: Apache-2.0
//
// The seam for time: the only place where the runtime reads the time and lets time pass.
//
// SteadyClock is CLOCK_MONOTONIC. VirtualClock stands still while code runs. It jumps to the next deadline
// when the loop would otherwise sleep, so a test of an hour takes milliseconds and sees exact times. The
// loop's pass is the same for both.
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
  // How long the calling thread has been on a CPU, from an arbitrary point of its own. A virtual clock knows
  // only its own time.
  virtual Nanoseconds cpu_time() const noexcept { return now(); }
  // The loop calls this when it has nothing to run before `deadline` (kForever: nothing is scheduled). Polls
  // the reactor. Returns when something may have become ready, or at the deadline.
  virtual void wait_until(Nanoseconds deadline, Reactor& reactor) = 0;
  // Whether every pass must poll the reactor. A virtual clock needs the exact passes of asyncio.
  virtual bool polls_every_pass() const noexcept { return false; }
  // Adds to the number of answers that the loop expects from threads that work for it; may be negative. A
  // clock can use the number to decide when time may pass.
  virtual void expect_answers(std::ptrdiff_t) noexcept {}
};

// CLOCK_MONOTONIC, and CLOCK_THREAD_CPUTIME_ID (POSIX clock_gettime).
class SteadyClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override;
  Nanoseconds cpu_time() const noexcept override;
  void wait_until(Nanoseconds deadline, Reactor& reactor) override;
  // The process-wide instance; it has no state.
  static SteadyClock& instance() noexcept;
};

// Stamps for events that happen millions of times a second, at half the price of a clock. A stamp is the
// CPU's counter if the kernel derives CLOCK_MONOTONIC from it (clocksource "tsc": same rate on all CPUs,
// never stops). Otherwise it is CLOCK_MONOTONIC in nanoseconds.
//
// A stamp becomes a time by two readings of counter and clock, one before it and one after it. So the
// counter's rate is never assumed, and corrections of the clock (NTP) are followed. Threads: any.
class Stamps {
 public:
  struct Reading {
    std::uint64_t stamp;
    Nanoseconds time;
  };
  static std::uint64_t now() noexcept;
  // Reads both, some 20 ns apart.
  static Reading read() noexcept;
  // The time of a stamp, on the line through both readings; extrapolated for a stamp after the second one.
  static Nanoseconds time(std::uint64_t stamp, const Reading& first, const Reading& second) noexcept;
};

class VirtualClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return now_; }
  void wait_until(Nanoseconds deadline, Reactor& reactor) override;
  bool polls_every_pass() const noexcept override { return true; }

  // Moves time forward from inside a callback, as if the callback had taken that long.
  void burn(Nanoseconds duration) noexcept { now_ = saturating_add(now_, duration); }
  // For tests in which real threads or signals may wake the loop. Before a jump the clock then waits in real
  // time: 2 ms; 1 s while a call on another thread is under way; 5 s if there is no deadline. A jump that is
  // shorter than that waits no longer than the jump.
  void set_may_block(bool may_block) noexcept { may_block_ = may_block; }
  void expect_answers(std::ptrdiff_t change) noexcept override { answers_due_ += change; }

 private:
  std::ptrdiff_t answers_due_ = 0;
  Nanoseconds now_ = 0;
  bool may_block_ = false;
};

// A virtual clock throws this out of the loop when nothing is ready, scheduled or expected. With a real clock
// the program would hang.
class Deadlock {
 public:
  const char* what() const noexcept { return "DEADLOCK: nothing ready, nothing scheduled"; }
};

}  // namespace aiofiber::runtime
