// SPDX-License-Identifier: Apache-2.0
//
// The two clocks. The only file of the runtime that reads the system's time.
#include "aiofiber/runtime/engine/clock.h"

#include <time.h>

#include <algorithm>
#include <string_view>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

namespace {
// How long a virtual clock that may block waits for real threads before it jumps.
constexpr Nanoseconds kRealSlice = 2'000'000;
// The same while answers from other threads are expected.
constexpr Nanoseconds kRealSliceForAnswers = 1'000'000'000;
// The same when there is no deadline to jump to.
constexpr Nanoseconds kRealPatience = 5'000'000'000;
}  // namespace

namespace {
Nanoseconds read_clock(clockid_t clock) noexcept {
  timespec time;
  ::clock_gettime(clock, &time);
  return Nanoseconds{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}
Nanoseconds monotonic() noexcept { return read_clock(CLOCK_MONOTONIC); }

bool kernel_trusts_the_counter() noexcept {
  if (arch::kCounterName.empty()) return false;
  char line[32];
  const std::size_t length =
      sys::read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", line, sizeof line);
  const std::string_view name(line, length);
  return name.ends_with('\n') && name.substr(0, length - 1) == arch::kCounterName;
}
// Read once: all stamps of a process are of one kind.
bool stamps_are_counter() noexcept {
  static const bool trusted = kernel_trusts_the_counter();
  return trusted;
}
}  // namespace

Nanoseconds SteadyClock::now() const noexcept { return monotonic(); }

Nanoseconds SteadyClock::cpu_time() const noexcept { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

std::uint64_t Stamps::now() noexcept {
  if (AIOFIBER_LIKELY(stamps_are_counter())) return arch::read_counter();
  return static_cast<std::uint64_t>(monotonic());
}

Stamps::Reading Stamps::read() noexcept {
  // The thread may be interrupted between the two readings, so the closest of a few pairs is taken.
  Reading best{};
  std::uint64_t closest = UINT64_MAX;
  for (int i = 0; i < 5; ++i) {
    const std::uint64_t before = now();
    const Nanoseconds time = monotonic();
    const std::uint64_t apart = now() - before;
    if (apart >= closest) continue;
    closest = apart;
    best = {before + apart / 2, time};
  }
  return best;
}

Nanoseconds Stamps::time(std::uint64_t stamp, const Reading& first, const Reading& second) noexcept {
  if (second.stamp <= first.stamp || second.time <= first.time) return second.time;
  const double rate =
      static_cast<double>(second.time - first.time) / static_cast<double>(second.stamp - first.stamp);
  // Measured from the nearer reading, and signed: a stamp may be outside both.
  const auto behind = static_cast<double>(static_cast<std::int64_t>(stamp - second.stamp));
  return second.time + static_cast<Nanoseconds>(behind * rate);
}

void SteadyClock::wait_until(Nanoseconds deadline, Reactor& reactor) {
  reactor.poll(time_until(deadline, now()));
}

SteadyClock& SteadyClock::instance() noexcept {
  // Never destroyed: the watchdog's thread reads it until the process ends.
  static auto& clock = *new SteadyClock;
  return clock;
}

namespace {
// Whether something happens within this much real time. A signal may end a poll early.
bool happens_within(Nanoseconds patience, Reactor& reactor) {
  const Nanoseconds end = monotonic() + patience;
  for (Nanoseconds left = patience; left > 0; left = end - monotonic()) {
    if (reactor.poll(left) > 0) return true;
  }
  return false;
}
}  // namespace

void VirtualClock::wait_until(Nanoseconds deadline, Reactor& reactor) {
  if (reactor.poll(0) > 0) return;
  if (deadline == kForever) {
    if (!may_block_) throw Deadlock();
    if (!happens_within(kRealPatience, reactor)) throw Deadlock();
    return;
  }
  if (deadline > now_ && may_block_) {
    const Nanoseconds slice = answers_due_ > 0 ? kRealSliceForAnswers : kRealSlice;
    if (happens_within(std::min(time_until(deadline, now_), slice), reactor)) return;
  }
  now_ = std::max(now_, deadline);
}

}  // namespace aiofiber::runtime
