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

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "hooks/core/act.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/descriptor_notes.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/real.h"

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

bool is_stream_socket(int fd) noexcept {
  int type = 0;
  socklen_t length = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

namespace {

// What is known saves time on the real clock only. A virtual clock would see the end of kTimeUntilAsked.
bool may_ask_later() noexcept { return !runtime::current_fiber()->scheduler->clock().polls_every_pass(); }

}  // namespace

bool BlockingCall::read_settings() noexcept {
  settings_read_ = true;
  known_settings::forget(fd_);
  const std::uint64_t asked_at = known_settings::age();
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
  const Nanoseconds limit = timeout_option_ != 0 ? socket_timeout(fd_, timeout_option_) : kForever;
  if (limit != kForever) {
    deadline_ = runtime::deadline_after(began_, limit);
    return true;
  }
  std::uint64_t facts = known_settings::blocks(events_);
  if (events_ == runtime::kReadable && timeout_option_ != 0 && is_stream_socket(fd_))
    facts |= known_settings::kIsStream;
  known_settings::add(fd_, facts, asked_at);
  return true;
}

runtime::FdWaitResult BlockingCall::wait_until_asked() {
  const AlarmEndsWait ends_wait;
  return runtime::fd_wait_until(fd_, events_, began_ + known_settings::kTimeUntilAsked, {began_, kForever});
}

bool BlockingCall::wait_if_drained() {
  if (!known_settings::is_drained(fd_) || !may_ask_later()) return true;
  runtime::Fiber& self = *runtime::current_fiber();
  if (self.interrupted || self.unwinding || self.alarm_due)
    return true;                        // what is there is read all the same
  known_settings::forget_drained(fd_);  // only this wait relies on it
  began_ = loop_now();
  runtime::FdWaitResult result;
  without_throwing([&] { result = wait_until_asked(); });
  must_ask_ = result.timed_out;
  if (!result.interrupted) calls_since_turn = 0;
  errno = errno_at_start_;
  if ((result.events & runtime::kClosed) == 0 || result.error != EBADF) return true;
  errno = EBADF;
  return false;
}

bool BlockingCall::wait() {
  if (began_ == 0) began_ = loop_now();
  const bool asks_later =
      !settings_read_ && !must_ask_ && known_settings::is_known_to_block(fd_, events_) && may_ask_later();
  if (!settings_read_ && !asks_later && !read_settings()) return false;
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
    if (asks_later) {
      result = wait_until_asked();
    } else {
      const AlarmEndsWait ends_wait;
      result = runtime::fd_wait(fd_, events_, left);
    }
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
  if (result.timed_out && !asks_later) {
    errno = EAGAIN;
    return false;
  }
  if (result.timed_out && !read_settings()) return false;
  errno = errno_at_start_;
  return !result.alarm || run_alarm_handler(after_alarm);
}

ssize_t BlockingCall::end_with_error(std::size_t moved) const noexcept {
  if (moved == 0) return runtime::transfer_result(fd_, -1);
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

// Past the hook, which would take this for a change by the program. The argument is passed as a pointer.
namespace {
void* pointer_of(int flags) noexcept { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(flags)); }
}  // namespace

NonblockScope::NonblockScope(int fd, int flags) noexcept : fd_(fd), flags_(flags) {
  real::fcntl64(fd_, F_SETFL, pointer_of(flags_ | O_NONBLOCK));
}

NonblockScope::~NonblockScope() {
  const int saved_errno = errno;
  real::fcntl64(fd_, F_SETFL, pointer_of(flags_));
  errno = saved_errno;
}

}  // namespace aiofiber::hooks
