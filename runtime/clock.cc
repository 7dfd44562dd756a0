// SPDX-License-Identifier: Apache-2.0
//
// The two clocks. The only file of the runtime that reads the system's time.
#include "aiofiber/runtime/clock.h"

#include <time.h>

#include <algorithm>

#include "aiofiber/runtime/reactor.h"

namespace aiofiber::runtime {

namespace {
// How long a virtual clock that expects real threads waits for them before it jumps.
constexpr Nanoseconds kRealSlice = 2'000'000;
// ... and how long when there is nothing to jump to.
constexpr Nanoseconds kRealPatience = 5'000'000'000;
}  // namespace

Nanoseconds SteadyClock::now() const noexcept {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return Nanoseconds{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void SteadyClock::wait_until(Nanoseconds deadline, Reactor& reactor) {
  reactor.poll(deadline == kForever ? kForever : std::max<Nanoseconds>(deadline - now(), 0));
}

SteadyClock& SteadyClock::instance() noexcept {
  static SteadyClock clock;
  return clock;
}

void VirtualClock::wait_until(Nanoseconds deadline, Reactor& reactor) {
  if (reactor.poll(0) > 0) return;
  if (deadline == kForever) {
    if (!may_block_) throw Deadlock();
    if (reactor.poll(kRealPatience) == 0) throw Deadlock();
    return;
  }
  if (deadline > now_ && may_block_ && reactor.poll(std::min(deadline - now_, kRealSlice)) > 0) return;
  now_ = std::max(now_, deadline);
}

}  // namespace aiofiber::runtime
