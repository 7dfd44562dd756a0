// SPDX-License-Identifier: Apache-2.0
//
// Waiting on behalf of a blocking call.
#include "hooks/core/blocking_call.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "hooks/core/act.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/descriptor_notes.h"

namespace aiofiber::hooks {

using runtime::kForever;
using runtime::Nanoseconds;

runtime::Nanoseconds loop_now() noexcept { return runtime::current_fiber()->scheduler->now(); }

Nanoseconds deadline_after(Nanoseconds duration) noexcept {
  return duration == kForever ? kForever : runtime::deadline_after(loop_now(), duration);
}

Nanoseconds socket_timeout(int fd, int option) noexcept {
  const int saved_errno = errno;
  timeval value{};
  socklen_t length = sizeof value;
  const bool known = ::getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0;
  errno = saved_errno;
  if (!known || (value.tv_sec == 0 && value.tv_usec == 0)) return kForever;
  constexpr Nanoseconds kLongestSeconds = kForever / 1'000'000'000 - 1;
  if (value.tv_sec >= kLongestSeconds) return kForever;
  return value.tv_sec * Nanoseconds{1'000'000'000} + value.tv_usec * Nanoseconds{1'000};
}

Nanoseconds wait_begins() noexcept { return runtime::current_fiber()->scheduler->last_poll(); }

bool sleep_until(Nanoseconds deadline, const Purpose& purpose) {
  if (runtime::refused_by_closing_loop()) {
    errno = ECANCELED;
    return false;
  }
  for (;;) {
    if (purpose.ends_at_alarm && !run_alarm_handler(purpose.after_alarm)) return false;
    runtime::Wake reason = runtime::Wake::kNone;
    const bool slept = without_throwing([&] {
      std::optional<AlarmEndsWait> ends_wait;
      if (purpose.ends_at_alarm) ends_wait.emplace();
      runtime::Parker parker;
      const std::uint64_t arg =
          purpose.kind == AIOFIBER_WAIT_SLEEP ? static_cast<std::uint64_t>(deadline) : purpose.arg;
      reason = parker.park(purpose.kind, arg, deadline, purpose.whole);
    });
    if (!slept) return false;
    if (reason == runtime::Wake::kInterrupted) {
      errno = ECANCELED;  // not counted as a turn: the wait may have returned at once
      return false;
    }
    calls_since_turn = 0;
    if (reason != runtime::Wake::kAlarm) return true;
  }
}

BlockingCall::BlockingCall(int fd, unsigned events, int timeout_option) noexcept
    : fd_(fd), events_(events), timeout_option_(timeout_option), errno_at_start_(errno) {
  note_use(fd);
}

bool BlockingCall::read_settings() noexcept {
  settings_read_ = true;
  const int flags = ::fcntl(fd_, F_GETFL);
  if (flags < 0) return false;
  // If poll(2) is the probe, this was not checked yet: a descriptor that is not open for the operation is
  // never ready.
  if ((flags & O_ACCMODE) == (events_ == runtime::kReadable ? O_WRONLY : O_RDONLY)) {
    errno = EBADF;
    return false;
  }
  if ((flags & O_NONBLOCK) != 0) {
    errno = EAGAIN;
    return false;
  }
  if (timeout_option_ != 0) deadline_ = deadline_after(socket_timeout(fd_, timeout_option_));
  return true;
}

bool BlockingCall::wait() {
  if (!settings_read_ && !read_settings()) return false;
  if (runtime::refused_by_closing_loop()) {
    errno = ECANCELED;
    wait_was_cut_off(fd_, events_);
    return false;
  }
  const AfterAlarm after_alarm = deadline_ == kForever ? AfterAlarm::kMayGoOn : AfterAlarm::kFails;
  if (!run_alarm_handler(after_alarm)) return false;
  Nanoseconds left = kForever;
  if (deadline_ != kForever && (left = runtime::time_until(deadline_, loop_now())) == 0) {
    errno = EAGAIN;
    return false;
  }
  runtime::FdWaitResult result;
  const bool waited = without_throwing([&] {
    const AlarmEndsWait ends_wait;
    result = runtime::fd_wait(fd_, events_, left);
  });
  if (!waited) {
    wait_was_cut_off(fd_, events_);
    return false;
  }
  if (result.interrupted) {
    errno = ECANCELED;                          // not counted as a turn either
    const bool closed = result.error == EBADF;  // then the number may already belong to another file
    if (!closed) wait_was_cut_off(fd_, events_);
    return false;
  }
  calls_since_turn = 0;
  if ((result.events & runtime::kClosed) != 0) {
    if (result.error != EBADF) wait_was_cut_off(fd_, events_);  // open, but the kernel does not watch it
    errno = result.error;
    return false;
  }
  if (result.timed_out) {
    errno = EAGAIN;
    return false;
  }
  errno = errno_at_start_;
  return !result.alarm || run_alarm_handler(after_alarm);
}

ssize_t BlockingCall::end_with_error(std::size_t moved) const noexcept {
  if (moved == 0) return -1;
  errno = errno_at_start_;
  return static_cast<ssize_t>(moved);
}

bool Backoff::wait() {
  constexpr Nanoseconds kLongestPause = 20'000'000;
  const Nanoseconds now = loop_now();
  if (now >= deadline_) {
    errno = ETIMEDOUT;
    return false;
  }
  if (!sleep_until(std::min(deadline_, now + pause_), purpose_)) return false;
  pause_ = std::min(pause_ * 2, kLongestPause);
  return true;
}

NonblockScope::NonblockScope(int fd, int flags) noexcept : fd_(fd), flags_(flags) {
  ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK);
}

NonblockScope::~NonblockScope() {
  const int saved_errno = errno;
  ::fcntl(fd_, F_SETFL, flags_);
  errno = saved_errno;
}

}  // namespace aiofiber::hooks
