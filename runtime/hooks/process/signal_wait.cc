// SPDX-License-Identifier: Apache-2.0
//
// pause, sigsuspend and the two kinds of sigpause: wait until a handler of the program has run.
//
// A signal of the process interrupts whichever task runs, or the loop's own wait, so its handler runs in
// anybody's turn. The call looks every 50 ms whether one has run since it began. A call's mask cannot be in
// force while other tasks run; at each look it lets in what it does not block. The task's own alarm ends
// pause at once, and a call with a mask at the next look.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"
#include "hooks/core/signals.h"

namespace aiofiber::hooks {

namespace {

// Lets in the pending signals that the mask does not block. True: the wait ends, with errno EINTR if a
// handler has run, or EFAULT.
bool let_in(const sigset_t* mask) noexcept {
  static constexpr timespec kNoTime{0, 0};
  return real::ppoll(nullptr, 0, &kNoTime, mask) < 0;
}

// Returns with errno EINTR, or why the wait ended early. Null: the thread's own mask, which is in force.
void wait_for_handler(const sigset_t* mask) {
  const std::uint32_t runs_before = handler_runs();
  Purpose purpose;
  purpose.whole = {wait_begins(), runtime::kForever};
  purpose.ends_at_alarm = mask == nullptr;
  for (;;) {
    if (mask != nullptr && let_in(mask)) return;
    if (handler_runs() != runs_before) {
      errno = EINTR;
      return;
    }
    if (mask != nullptr && !run_alarm_handler(AfterAlarm::kFails, mask)) return;
    if (!sleep_until(deadline_after(kMaskedLookInterval), purpose)) return;
  }
}

// The mask that BSD's sigpause is given has a bit for each of the first 32 signals.
sigset_t set_of_bits(unsigned bits) noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (int signo = 1; bits != 0; bits >>= 1, ++signo) {
    if ((bits & 1) != 0) sigaddset(&set, signo);
  }
  return set;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int pause() {
  if (!acts()) return real::pause();
  wait_for_handler(nullptr);
  return -1;
}

int sigsuspend(const sigset_t* mask) {
  if (!acts()) return real::sigsuspend(mask);
  wait_for_handler(mask);
  return -1;
}
int __sigsuspend(const sigset_t* mask) { return sigsuspend(mask); }

// libc's function behind both: BSD's, with a mask, and X/Open's, which lets in one signal.
int __sigpause(int signo_or_mask, int is_signo) {
  if (!acts()) return real::__sigpause(signo_or_mask, is_signo);
  sigset_t mask;
  if (is_signo == 0) {
    mask = set_of_bits(static_cast<unsigned>(signo_or_mask));
  } else {
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    if (sigdelset(&mask, signo_or_mask) != 0) return -1;
  }
  wait_for_handler(&mask);
  return -1;
}
int __xpg_sigpause(int signo) { return __sigpause(signo, 1); }
// <signal.h> gives C++ the name sigpause for X/Open's.
int bsd_sigpause(int mask) asm("sigpause");
int bsd_sigpause(int mask) { return __sigpause(mask, 0); }

}  // extern "C"
