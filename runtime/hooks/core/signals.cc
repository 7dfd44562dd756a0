// SPDX-License-Identifier: Apache-2.0
//
// sigaction, and signal in its two forms: our handler calls the program's handler. It counts that the thread
// is in a handler and turns the hooks of the interrupted task off meanwhile.
//
// sigaction always returns the program's own handler. A handler may leave by siglongjmp: process/jumps.cc.
#include "hooks/core/signals.h"

#include <signal.h>

#include <atomic>
#include <cerrno>

#include "hooks/core/act.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

constinit thread_local int signal_depth __attribute__((tls_model("initial-exec"))) = 0;

namespace {

// The innermost handler that runs on this thread.
constinit thread_local HandlerRun* innermost __attribute__((tls_model("initial-exec"))) = nullptr;

using Handler = void (*)(int, siginfo_t*, void*);

// The program's handlers. A handler with one argument is called with three, which C's calling convention
// allows.
constinit std::atomic<Handler> handlers[NSIG];

constinit std::atomic<std::uint32_t> runs{0};

void call_handler(int signo, siginfo_t* info, void* context) {
  const Handler handler = handlers[signo].load(std::memory_order_relaxed);
  if (handler == nullptr) return;
  const int saved_errno = errno;
  {
    const HandlerRun run(nullptr);
    handler(signo, info, context);
  }
  runs.fetch_add(1, std::memory_order_relaxed);
  errno = saved_errno;
}

bool is_function(const struct ::sigaction& action) noexcept {
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN && action.sa_handler != SIG_ERR;
}

int set_action(int signo, const struct ::sigaction* action, struct ::sigaction* old) noexcept {
  if (signo <= 0 || signo >= NSIG || stands_aside) return real::sigaction(signo, action, old);
  const Handler previous = handlers[signo].load(std::memory_order_relaxed);
  struct ::sigaction ours;
  if (action != nullptr) {
    ours = *action;
    if (is_function(ours)) {
      // Store it before the kernel call: a signal in between already gets the new handler.
      // A program that gets ours, by a function of libc that is not hooked, gives it back.
      if (action->sa_sigaction != call_handler)
        handlers[signo].store(action->sa_sigaction, std::memory_order_relaxed);
      ours.sa_sigaction = call_handler;
    }
  }
  const int result = real::sigaction(signo, action == nullptr ? nullptr : &ours, old);
  if (result != 0) {
    handlers[signo].store(previous, std::memory_order_relaxed);
  } else if (old != nullptr && old->sa_sigaction == call_handler) {
    old->sa_sigaction = previous;
  }
  return result;
}

constexpr int kForOneSignal = static_cast<int>(SA_RESETHAND) | SA_NODEFER;

sighandler_t set_handler(int signo, sighandler_t handler, int flags) noexcept {
  if (handler == SIG_ERR) {
    errno = EINVAL;
    return SIG_ERR;
  }
  struct ::sigaction action {};
  struct ::sigaction old {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  if ((flags & SA_NODEFER) == 0) sigaddset(&action.sa_mask, signo);
  return set_action(signo, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

}  // namespace

std::uint32_t handler_runs() noexcept { return runs.load(std::memory_order_relaxed); }

struct ::sigaction program_action(int signo) noexcept {
  struct ::sigaction action {};
  set_action(signo, nullptr, &action);
  return action;
}

void HandlerRun::begin() noexcept {
  outer_ = innermost;
  innermost = this;
  ++signal_depth;
  fiber_ = runtime::current_fiber();
  if (fiber_ != nullptr) hooks_off_before_ = fiber_->hooks_off++;
}

void HandlerRun::end() noexcept {
  if (fiber_ != nullptr) fiber_->hooks_off = hooks_off_before_;
  --signal_depth;
  innermost = outer_;
}

bool HandlerRun::is_of_alarm() noexcept { return innermost != nullptr && innermost->mask_ != nullptr; }

void HandlerRun::leave(std::uintptr_t stack_pointer, runtime::StackBounds stack) noexcept {
  const auto is_inside = [stack](std::uintptr_t at) { return at >= stack.low && at < stack.high; };
  while (innermost != nullptr) {
    HandlerRun& run = *innermost;
    const bool same_stack = is_inside(run.position_) == is_inside(stack_pointer);
    // Stacks grow down. A handler on the alternate stack is deeper than all of the stack that it interrupted.
    if (same_stack ? run.position_ >= stack_pointer : is_inside(run.position_)) return;
    if (run.mask_ != nullptr) ::pthread_sigmask(SIG_SETMASK, run.mask_, nullptr);
    run.end();
  }
}

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int sigaction(int signo, const struct ::sigaction* action, struct ::sigaction* old) noexcept {
  return set_action(signo, action, old);
}

int __sigaction(int signo, const struct ::sigaction* action, struct ::sigaction* old) noexcept {
  return set_action(signo, action, old);
}

// BSD semantics, as in glibc: calls are restarted, the handler stays.
sighandler_t signal(int signo, sighandler_t handler) noexcept {
  return set_handler(signo, handler, SA_RESTART);
}
sighandler_t bsd_signal(int signo, sighandler_t handler) noexcept {
  return set_handler(signo, handler, SA_RESTART);
}
sighandler_t ssignal(int signo, sighandler_t handler) noexcept {
  return set_handler(signo, handler, SA_RESTART);
}

// What signal() is in a program that was compiled as strict C (-std=c99): calls are interrupted, and the
// handler is for one signal, which it does not block.
sighandler_t __sysv_signal(int signo, sighandler_t handler) noexcept {
  return set_handler(signo, handler, kForOneSignal);
}
sighandler_t sysv_signal(int signo, sighandler_t handler) noexcept {
  return set_handler(signo, handler, kForOneSignal);
}

// System V's: SIG_HOLD blocks the signal, anything else lets it in.
sighandler_t sigset(int signo, sighandler_t disposition) noexcept {
  sigset_t set, before;
  sigemptyset(&set);
  if (sigaddset(&set, signo) != 0) return SIG_ERR;
  sighandler_t old = SIG_ERR;
  if (disposition == SIG_HOLD) {
    struct ::sigaction action {};
    if (set_action(signo, nullptr, &action) != 0) return SIG_ERR;
    old = action.sa_handler;
  } else {
    old = set_handler(signo, disposition, 0);
    if (old == SIG_ERR) return SIG_ERR;
  }
  ::pthread_sigmask(disposition == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &set, &before);
  return sigismember(&before, signo) == 1 ? SIG_HOLD : old;
}

}  // extern "C"
