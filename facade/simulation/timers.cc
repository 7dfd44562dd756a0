// SPDX-License-Identifier: Apache-2.0
//
// Timers are set, expire, are read.
#include "simulation/timers.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "aiofiber/runtime/engine/saturating.h"
#include "simulation/call_results.h"
#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/wires.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

using runtime::kForever;
using runtime::Nanoseconds;

namespace {

bool is_valid(const timespec& time) noexcept {
  return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < kSecond;
}
Nanoseconds to_nanoseconds(const timespec& time) noexcept {
  return time.tv_sec >= kForever / kSecond - 1 ? kForever : time.tv_sec * kSecond + time.tv_nsec;
}

}  // namespace

int Timers::create(Host& host, clockid_t clock, int flags) {
  const bool is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
  if (!is_wall && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_BOOTTIME_ALARM)
    return fail(EINVAL);
  static_assert(int{TFD_NONBLOCK} == int{SOCK_NONBLOCK} && int{TFD_CLOEXEC} == int{SOCK_CLOEXEC});
  if ((flags & ~(TFD_NONBLOCK | TFD_CLOEXEC)) != 0) return fail(EINVAL);
  Endpoint* const timer = wires_.make(host, Endpoint::Kind::kTimer, AF_UNIX, flags);
  if (timer == nullptr) return -1;
  ++timers_;
  timer->timer.is_wall = is_wall;
  return timer->fd;
}

// Of the timer's clock. A relative time is monotonic, also on the wall clock, as in Linux.
Nanoseconds Timers::now(const Endpoint& timer) const noexcept {
  return timer.timer.follows_wall ? timer.host->wall_time() : timer.host->monotonic_time();
}

int Timers::set(Endpoint& timer, int fd, int flags, const itimerspec& to, itimerspec* before) {
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0 || !is_valid(to.it_value) ||
      !is_valid(to.it_interval))
    return fail(EINVAL);
  if (before != nullptr) get(timer, *before);
  take_back(timer, fd);
  Endpoint::Timer& state = timer.timer;
  const bool is_absolute = (flags & TFD_TIMER_ABSTIME) != 0;
  state.follows_wall = state.is_wall && is_absolute;
  state.cancel_on_set = state.follows_wall && (flags & TFD_TIMER_CANCEL_ON_SET) != 0;
  state.was_set = false;
  state.expiries = 0;
  const Nanoseconds value = to_nanoseconds(to.it_value);
  state.interval = to_nanoseconds(to.it_interval);
  if (value == 0) {
    state.next = kForever;
  } else {
    state.next = is_absolute ? value : runtime::saturating_add(now(timer), value);
  }
  arm(timer);
  return 0;
}

void Timers::get(Endpoint& timer, itimerspec& result) noexcept {
  count_expiries(timer);
  const Endpoint::Timer& state = timer.timer;
  result.it_interval = to_timespec(state.interval);
  result.it_value = to_timespec(state.next == kForever ? 0 : state.next - now(timer));
}

// Of what is due by now, and when it is due next.
void Timers::count_expiries(Endpoint& timer) noexcept {
  Endpoint::Timer& state = timer.timer;
  const Nanoseconds late = now(timer) - state.next;
  if (state.next == kForever || late < 0) return;
  if (state.interval == 0) {
    ++state.expiries;
    state.next = kForever;
    return;
  }
  const Nanoseconds count = 1 + late / state.interval;
  state.expiries += static_cast<std::uint64_t>(count);
  state.next = runtime::saturating_add(state.next, count * state.interval);
}

void Timers::arm(Endpoint& timer) {
  const std::uint64_t arming = ++timer.timer.arming;  // what was armed before does nothing
  if (timer.timer.next == kForever) return;
  const Nanoseconds left = std::max<Nanoseconds>(timer.timer.next - now(timer), 0);
  world_.at(timer.host->when_passed(left), [this, id = timer.id, arming] { expire(id, arming); });
}

void Timers::expire(std::uint64_t id, std::uint64_t arming) {
  Endpoint* const timer = wires_.find(id);
  if (timer == nullptr || timer->timer.arming != arming) return;
  count_expiries(*timer);
  if (timer->timer.expiries > 0) {
    put(*timer);
  } else {
    arm(*timer);  // the clock's rate rounds
  }
}

void Timers::put(Endpoint& timer) noexcept {
  if (timer.timer.is_full) return;
  const std::uint64_t count = timer.timer.expiries;
  timer.timer.is_full = real::send(timer.wire, &count, sizeof count) == sizeof count;
  timer.host->touch();
}

void Timers::take_back(Endpoint& timer, int fd) noexcept {
  std::uint64_t count;
  if (std::exchange(timer.timer.is_full, false)) real::receive(fd, &count, sizeof count);
}

bool Timers::before_read(Endpoint& timer, int fd) noexcept {
  Endpoint::Timer& state = timer.timer;
  take_back(timer, fd);
  count_expiries(timer);
  if (std::exchange(state.was_set, false)) {
    errno = ECANCELED;
    return false;
  }
  if (state.expiries == 0) return true;  // the read waits, or fails with EAGAIN
  put(timer);
  state.is_full = false;  // it is read now
  state.expiries = 0;
  arm(timer);
  return true;
}

void Timers::clocks_changed(const Host& host, bool wall_clock_was_set) {
  wires_.for_each_timer(host, [&](Endpoint& timer) {
    if (wall_clock_was_set && timer.timer.cancel_on_set) {
      timer.timer.was_set = true;
      put(timer);
    }
    arm(timer);
  });
}

}  // namespace aiofiber::testing::detail
