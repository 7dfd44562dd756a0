// SPDX-License-Identifier: Apache-2.0
//
// epoll_wait, epoll_pwait and epoll_pwait2 on an epoll descriptor of the program's own (or a library's): it
// is itself readable when something in it is ready, so that is what the task waits for.
//
// The signal mask of the p-forms is in force at each look, as in ppoll; with one the call looks every 50 ms.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "aiofiber/runtime/fd_wait.h"
#include "hooks/act.h"
#include "hooks/blocking_call.h"
#include "hooks/real.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

int epoll_until(int epoll, epoll_event* events, int count, Nanoseconds deadline, const sigset_t* mask) {
  const int errno_at_start = errno;
  const runtime::WholeWait whole{wait_begins(), deadline};
  for (;;) {
    const int ready = mask == nullptr ? real::epoll_wait(epoll, events, count, 0)
                                      : real::epoll_pwait(epoll, events, count, 0, mask);
    if (ready != 0) return ready;
    if (loop_now() >= deadline) return 0;
    if (runtime::current_fiber()->unwinding) {
      errno = ECANCELED;
      return -1;
    }
    const Nanoseconds look_again = next_look(deadline, mask);
    const Nanoseconds left = look_again == kForever ? kForever : look_again - loop_now();
    runtime::FdWaitResult result;
    if (!without_throwing([&] { result = runtime::fd_wait(epoll, runtime::kReadable, left, 0, 0, whole); })) return -1;
    if (result.interrupted || (result.events & runtime::kClosed) != 0) {
      errno = result.interrupted ? ECANCELED : EBADF;
      return -1;
    }
    calls_since_turn = 0;
    errno = errno_at_start;
  }
}

Nanoseconds milliseconds(int timeout_ms) noexcept {
  return timeout_ms < 0 ? kForever : Nanoseconds{timeout_ms} * 1'000'000;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int epoll_wait(int epoll, epoll_event* events, int count, int timeout_ms) {
  if (!acts() || timeout_ms == 0) return real::epoll_wait(epoll, events, count, timeout_ms);
  return epoll_until(epoll, events, count, deadline_after(milliseconds(timeout_ms)), nullptr);
}

int epoll_pwait(int epoll, epoll_event* events, int count, int timeout_ms, const sigset_t* mask) {
  if (!acts() || timeout_ms == 0) return real::epoll_pwait(epoll, events, count, timeout_ms, mask);
  return epoll_until(epoll, events, count, deadline_after(milliseconds(timeout_ms)), mask);
}

int epoll_pwait2(int epoll, epoll_event* events, int count, const timespec* timeout, const sigset_t* mask) {
  if (!is_valid_timeout(timeout) || !acts()) return real::epoll_pwait2(epoll, events, count, timeout, mask);
  return epoll_until(epoll, events, count, deadline_after(to_nanoseconds(timeout)), mask);
}

}  // extern "C"
