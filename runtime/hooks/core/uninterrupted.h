// SPDX-License-Identifier: Apache-2.0
//
// Repeats system calls that a signal interrupted: no hook ends with EINTR because of a signal of
// the process.
//
// The kernel returns EINTR even if there is nothing to wait for: poll, select and so on with a timeout of 0
// do so when nothing is ready and a signal has come. A probe that used this result would report a connection
// that is not made, or block the thread in a read. The exception is a call with its own signal mask (ppoll,
// pselect): its caller wants to be interrupted by the signals that the mask lets in.
#pragma once

#include <poll.h>

#include <cerrno>

#include "hooks/core/real.h"

namespace aiofiber::hooks {

// Repeats call() until no signal interrupts it. `failure` is its error value, with errno set. Not for calls
// that must not be repeated, as close() and system().
template <class R, class Call>
R uninterrupted(R failure, Call call) {
  const int errno_at_start = errno;
  for (;;) {
    const R result = call();
    if (result != failure || errno != EINTR) return result;
    errno = errno_at_start;
  }
}
template <class Call>
auto uninterrupted(Call call) {
  return uninterrupted(decltype(call()){-1}, call);
}

// poll(2) with timeout 0.
inline int poll_now(pollfd* entries, nfds_t count) noexcept {
  return uninterrupted([=] { return real::poll(entries, count, 0); });
}

// Whether `fd` has one of the events, or an error, which the call itself will report. errno is kept.
inline bool is_ready_now(int fd, short events) noexcept {
  pollfd entry{fd, events, 0};
  const int saved_errno = errno;
  const bool ready = poll_now(&entry, 1) != 0;
  errno = saved_errno;
  return ready;
}

}  // namespace aiofiber::hooks
