// SPDX-License-Identifier: Apache-2.0
//
// Sleeping: sleep, usleep, nanosleep, clock_nanosleep, thrd_sleep (std::this_thread::sleep_for and
// sleep_until call these), and sched_yield, which lets the other tasks run.
//
// A task sleeps on its loop's clock, so under a virtual clock the call takes exactly its virtual time. A
// cancelled sleep ends with ECANCELED and returns the remaining time, as for EINTR. Arguments that libc would
// refuse, and CPU-time clocks, go to libc.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

// Sleeps for `duration`; `left` is the rest if it was cut short. Returns true if it was not.
bool sleep_for(Nanoseconds duration, Nanoseconds& left) {
  const int saved_errno = errno;
  const Nanoseconds deadline = deadline_after(duration);
  if (sleep_until(deadline)) {
    errno = saved_errno;
    left = 0;
    return true;
  }
  left = runtime::time_until(deadline, loop_now());
  return false;
}

int sleep_relative(const timespec& duration, timespec* remaining) {
  Nanoseconds left = 0;
  if (sleep_for(to_nanoseconds(&duration), left)) return 0;
  if (remaining != nullptr) *remaining = {left / kSecond, left % kSecond};
  return -1;
}

// Sleeps until `clock` shows `time`. The length is computed now: setting the clock meanwhile does not change
// it.
int sleep_to(clockid_t clock, const timespec& time) {
  timespec now;
  if (::clock_gettime(clock, &now) != 0) return errno;
  const Nanoseconds target = to_nanoseconds(&time);
  const Nanoseconds duration = target == kForever ? kForever : target - to_nanoseconds(&now);
  Nanoseconds left = 0;
  return duration <= 0 || sleep_for(duration, left) ? 0 : errno;
}

bool is_wall_clock(clockid_t clock) noexcept {
  return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
}

}  // namespace

bool is_valid_timeout(const timespec* timeout) noexcept {
  return timeout == nullptr || (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < kSecond);
}

runtime::Nanoseconds to_nanoseconds(const timespec* timeout) noexcept {
  if (timeout == nullptr || timeout->tv_sec >= kForever / kSecond - 1) return kForever;
  return timeout->tv_sec < 0 ? 0 : timeout->tv_sec * kSecond + timeout->tv_nsec;
}

runtime::Nanoseconds next_look(Nanoseconds deadline, const sigset_t* mask) noexcept {
  return mask == nullptr ? deadline : std::min(deadline, deadline_after(kMaskedLookInterval));
}

runtime::Nanoseconds deadline_at(clockid_t clock, const timespec& time) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  const Nanoseconds target = to_nanoseconds(&time);
  if (target == kForever) return kForever;
  return deadline_after(runtime::time_until(target, to_nanoseconds(&now)));
}

bool is_valid_time(clockid_t clock, const timespec* time) noexcept {
  return time != nullptr && time->tv_nsec >= 0 && time->tv_nsec < kSecond &&
         (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC);
}

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

unsigned sleep(unsigned seconds) {
  if (!acts()) return real::sleep(seconds);
  Nanoseconds left = 0;
  if (sleep_for(Nanoseconds{seconds} * kSecond, left)) return 0;
  return static_cast<unsigned>((left + kSecond - 1) / kSecond);
}

int usleep(useconds_t microseconds) {
  if (!acts()) return real::usleep(microseconds);
  Nanoseconds left = 0;
  return sleep_for(Nanoseconds{microseconds} * 1'000, left) ? 0 : -1;
}

int nanosleep(const timespec* duration, timespec* remaining) {
  if (!acts() || duration == nullptr || !is_valid_timeout(duration))
    return real::nanosleep(duration, remaining);
  return sleep_relative(*duration, remaining);
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* remaining) {
  if (!acts() || time == nullptr || !is_valid_timeout(time) || !is_wall_clock(clock) ||
      (flags & ~TIMER_ABSTIME) != 0) {
    return real::clock_nanosleep(clock, flags, time, remaining);
  }
  const int saved_errno = errno;  // this call returns its error and does not change errno
  const int result = (flags & TIMER_ABSTIME) != 0            ? sleep_to(clock, *time)
                     : sleep_relative(*time, remaining) == 0 ? 0
                                                             : errno;
  errno = saved_errno;
  return result;
}

// C11: 0; -1 if cut short; less than -1 for an error.
int thrd_sleep(const timespec* duration, timespec* remaining) {
  if (!acts() || duration == nullptr || !is_valid_timeout(duration))
    return real::thrd_sleep(duration, remaining);
  const int saved_errno = errno;
  const int result = sleep_relative(*duration, remaining);
  errno = saved_errno;
  return result;
}

int sched_yield() noexcept {
  if (act() == nullptr) return real::sched_yield();
  give_turn();
  return 0;
}

}  // extern "C"
