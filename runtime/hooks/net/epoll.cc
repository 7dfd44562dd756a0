// SPDX-License-Identifier: Apache-2.0
//
// epoll_wait, epoll_pwait and epoll_pwait2 on an epoll descriptor of the program or a library. The descriptor
// is readable when something in it is ready, so the task waits for that.
//
// The descriptors in the set belong to an event loop, which continues after a cancellation
// (cut_off_answer.h). So its connections are left as they are. The signal mask of the p-forms is in force at
// each look, as in ppoll; with a mask the call looks every 50 ms.
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/parker.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"
#include "hooks/net/cut_off_answer.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

int end_cut_off(CutOffAnswer answer) noexcept {
  if (answer == CutOffAnswer::kTimedOut) return 0;
  errno = answer == CutOffAnswer::kInterrupted ? EINTR : ECANCELED;
  return -1;
}

// Nothing suspends any more. A caller that would abort at an error, or ask again, must block; others get an
// error.
int wait_in_a_closing_loop(int epoll, epoll_event* events, int count, Nanoseconds deadline,
                           const void* caller) noexcept {
  const CutOffAnswer answer = cut_off_answer(caller, CutOffAnswer::kCancelled);
  if (answer == CutOffAnswer::kCancelled) return end_cut_off(answer);
  const Nanoseconds pause = std::min(kPauseOfAClosingLoop, runtime::time_until(deadline, loop_now()));
  const int ready = real::epoll_wait(epoll, events, count, static_cast<int>(pause / 1'000'000));
  return ready != 0 ? ready : end_cut_off(answer);
}

int look(int epoll, epoll_event* events, int count, const sigset_t* mask) noexcept {
  const int ready = uninterrupted([=] { return real::epoll_wait(epoll, events, count, 0); });
  if (ready != 0 || mask == nullptr) return ready;
  // An epoll_pwait with timeout 0 lets no signal in; a ppoll does.
  constexpr timespec kNoTime{0, 0};
  return real::ppoll(nullptr, 0, &kNoTime, mask);
}

int epoll_until(int epoll, epoll_event* events, int count, Nanoseconds deadline, const sigset_t* mask,
                const void* caller) {
  const int errno_at_start = errno;
  const runtime::WholeWait whole{wait_begins(), deadline};
  for (;;) {
    const int ready = look(epoll, events, count, mask);
    if (ready != 0) return ready;
    if (loop_now() >= deadline) return 0;
    if (runtime::refused_by_closing_loop())
      return wait_in_a_closing_loop(epoll, events, count, deadline, caller);
    if (!run_alarm_handler(AfterAlarm::kFails, mask)) return -1;
    const Nanoseconds look_again = next_look(deadline, mask);
    const Nanoseconds left = look_again == kForever ? kForever : look_again - loop_now();
    runtime::FdWaitResult result;
    const bool waited = without_throwing([&] {
      const AlarmEndsWait ends_wait;
      result = runtime::fd_wait(epoll, runtime::kReadable, left, 0, 0, whole);
    });
    if (!waited) return -1;
    if (result.interrupted) return end_cut_off(cut_off_answer(caller, CutOffAnswer::kInterrupted));
    if ((result.events & runtime::kClosed) != 0) {
      errno = result.error;
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
  if (!acts()) return real::epoll_wait(epoll, events, count, timeout_ms);
  if (timeout_ms == 0) return look(epoll, events, count, nullptr);
  return epoll_until(epoll, events, count, deadline_after(milliseconds(timeout_ms)), nullptr,
                     __builtin_return_address(0));
}

int epoll_pwait(int epoll, epoll_event* events, int count, int timeout_ms, const sigset_t* mask) {
  if (!acts() || timeout_ms == 0) return real::epoll_pwait(epoll, events, count, timeout_ms, mask);
  return epoll_until(epoll, events, count, deadline_after(milliseconds(timeout_ms)), mask,
                     __builtin_return_address(0));
}

int epoll_pwait2(int epoll, epoll_event* events, int count, const timespec* timeout, const sigset_t* mask) {
  if (!is_valid_timeout(timeout) || !acts()) return real::epoll_pwait2(epoll, events, count, timeout, mask);
  return epoll_until(epoll, events, count, deadline_after(to_nanoseconds(timeout)), mask,
                     __builtin_return_address(0));
}

}  // extern "C"
