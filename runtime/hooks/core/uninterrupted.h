// SPDX-License-Identifier: Apache-2.0
//
// System calls that a signal cuts short are made again: no hook ends with EINTR on its own account.
//
// The kernel says EINTR even where there was nothing to wait for: poll, select and their kin with a timeout
// of 0 do when nothing is ready and a signal has come. A probe that took that for an answer would call a
// connection made that is not, or make the thread wait in a read. The exception is a signal mask of the
// call's own (ppoll, pselect): who gives one wants to be interrupted by what it lets in.
#pragma once

#include <poll.h>

#include <cerrno>

#include "hooks/core/real.h"

namespace aiofiber::hooks {

// Calls call(), which gives `failure` with errno as a system call gives -1, until a signal does not end it.
// Not for what must not be made twice, as close() and system().
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

// poll(2) as it stands now.
inline int poll_now(pollfd* entries, nfds_t count) noexcept {
  return uninterrupted([=] { return real::poll(entries, count, 0); });
}

// Whether `fd` has one of the events, or an error: then the call itself will report it. errno is kept.
inline bool is_ready_now(int fd, short events) noexcept {
  pollfd entry{fd, events, 0};
  const int saved_errno = errno;
  const bool ready = poll_now(&entry, 1) != 0;
  errno = saved_errno;
  return ready;
}

}  // namespace aiofiber::hooks
