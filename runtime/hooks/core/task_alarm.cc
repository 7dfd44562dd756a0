// SPDX-License-Identifier: Apache-2.0
//
// When an alarm comes, and the run of its handler.
#include "hooks/core/task_alarm.h"

#include <signal.h>
#include <ucontext.h>

#include <cerrno>
#include <new>
#include <utility>

#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "hooks/core/signals.h"

namespace aiofiber::hooks {

using runtime::Nanoseconds;

namespace {

bool is_blocked(const sigset_t* mask) noexcept {
  sigset_t of_thread;
  if (mask == nullptr) {
    ::pthread_sigmask(SIG_BLOCK, nullptr, &of_thread);
    mask = &of_thread;
  }
  return sigismember(mask, SIGALRM) == 1;
}

}  // namespace

TaskAlarm::TaskAlarm(runtime::Fiber& fiber) noexcept
    : Timer(Kind::kInternal,
            [](Runnable& node) {
              auto& self = static_cast<TaskAlarm&>(node);
              if (self.fiber_ == nullptr) {
                delete &self;
              } else if (!std::exchange(self.outdated_, false)) {
                self.come();
              }
            }),
      fiber_(&fiber) {}

void TaskAlarm::End::operator()(TaskAlarm* alarm) const noexcept {
  alarm->fiber_->scheduler->timers().cancel(*alarm);
  alarm->fiber_ = nullptr;
  if (!alarm->queued) delete alarm;  // else it deletes itself when its turn has come
}

TaskAlarm::Setting TaskAlarm::get() const noexcept {
  if (!armed()) return {0, interval_};
  const Nanoseconds left = runtime::time_until(deadline, fiber_->scheduler->now());
  return {left > 0 ? left : 1, interval_};
}

void TaskAlarm::set(const Setting& wanted) {
  runtime::Scheduler& scheduler = *fiber_->scheduler;
  scheduler.timers().cancel(*this);
  outdated_ = queued;
  interval_ = wanted.left != 0 ? wanted.interval : 0;
  if (wanted.left != 0)
    scheduler.timers().start(*this, runtime::deadline_after(scheduler.now(), wanted.left));
}

void TaskAlarm::catch_up() noexcept {
  runtime::Scheduler& scheduler = *fiber_->scheduler;
  const bool is_in_queue = queued && !outdated_;
  if (!is_in_queue && !(armed() && deadline <= scheduler.now())) return;
  scheduler.timers().cancel(*this);
  outdated_ = queued;
  come();
}

// On any stack of the loop. If the program ignores the signal, nothing happens; without a handler the signal
// ends the process, as the kernel's would.
void TaskAlarm::come() noexcept {
  runtime::Scheduler& scheduler = *fiber_->scheduler;
  if (interval_ != 0) {
    // As the kernel does: late ones are not made up for.
    const Nanoseconds missed = runtime::time_until(scheduler.now(), deadline) / interval_;
    try {
      scheduler.timers().start(*this, runtime::saturating_add(deadline, (missed + 1) * interval_));
    } catch (const std::bad_alloc&) {
      interval_ = 0;
    }
  }
  const auto handler = program_action(SIGALRM).sa_handler;
  if (handler == SIG_IGN) return;
  if (handler == SIG_DFL && !is_blocked(nullptr)) ::raise(SIGALRM);
  fiber_->alarm_due = true;
  if (fiber_->parker != nullptr) fiber_->parker->alarm();
}

namespace detail {

bool alarm_is_let_in(const sigset_t* mask) noexcept {
  runtime::Fiber& fiber = *runtime::current_fiber();
  if (fiber.unwinding || is_blocked(mask)) return false;
  if (program_action(SIGALRM).sa_handler == SIG_IGN) {  // since it came
    fiber.alarm_due = false;
    return false;
  }
  return true;
}

bool run_alarm_handler(AfterAlarm then, const sigset_t* mask) {
  runtime::Fiber& fiber = *runtime::current_fiber();
  if (fiber.alarm_later) {
    errno = EINTR;
    return false;
  }
  fiber.alarm_due = false;
  const struct ::sigaction action = program_action(SIGALRM);
  if (action.sa_handler == SIG_DFL) ::raise(SIGALRM);
  const auto flags = static_cast<unsigned>(action.sa_flags);
  // SA_RESETHAND is not obeyed: the action is one for all tasks, and the alarms of the others need it.
  // The other signals of the mask, for the time of the handler. SIGALRM itself is not blocked: the task's
  // next alarm comes in a later wait, and a handler that leaves by longjmp would block it for all tasks.
  sigset_t mask_before;
  sigset_t blocked = action.sa_mask;
  sigdelset(&blocked, SIGALRM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &mask_before);
  const int saved_errno = errno;
  {
    const HandlerRun run(&mask_before);
    if ((flags & static_cast<unsigned>(SA_SIGINFO)) != 0) {
      siginfo_t info{};
      info.si_signo = SIGALRM;
      info.si_code = SI_KERNEL;
      ucontext_t context;
      ::getcontext(&context);
      action.sa_sigaction(SIGALRM, &info, &context);
    } else {
      action.sa_handler(SIGALRM);
    }
  }
  errno = saved_errno;
  ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  const bool restarts = mask == nullptr && (flags & static_cast<unsigned>(SA_RESTART)) != 0;
  if (then == AfterAlarm::kMayGoOn && restarts) return true;
  errno = EINTR;
  return false;
}

}  // namespace detail

}  // namespace aiofiber::hooks
