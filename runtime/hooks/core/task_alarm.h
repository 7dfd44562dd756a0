// SPDX-License-Identifier: Apache-2.0
//
// TaskAlarm: the alarm that a task has set by alarm() or setitimer(), a timer on its loop's clock.
//
// It is the task's: when it is due, the hooked wait of that task ends, and SIGALRM's handler runs on the
// task's own stack, as the program has set it. The kernel's timer and signal are not used, because a process
// has one of them and the signal interrupts whichever task runs. A task that computes, or waits for something
// that is no hooked call, gets its alarm at its next hooked wait.
//
// The handler may leave by siglongjmp. So a hook that lets an alarm end its wait calls run_alarm_handler()
// where none of its own frames has an object to destroy.
// Threads: the task's only. An alarm is gone when its task has ended, and in a forked child.
#pragma once

#include <csignal>
#include <cstdint>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/timer_heap.h"

namespace aiofiber::hooks {

class TaskAlarm : private runtime::Timer {
 public:
  explicit TaskAlarm(runtime::Fiber& fiber) noexcept;
  struct End {
    void operator()(TaskAlarm* alarm) const noexcept;
  };

  struct Setting {
    runtime::Nanoseconds left = 0;      // 0: not set
    runtime::Nanoseconds interval = 0;  // 0: once
  };
  Setting get() const noexcept;
  // Replaces the setting. Throws std::bad_alloc and then leaves it without an alarm.
  void set(const Setting& wanted);
  // An alarm that should have come while the task computed comes now.
  void catch_up() noexcept;

 private:
  ~TaskAlarm() = default;
  void come() noexcept;

  runtime::Fiber* fiber_;  // null: the task has ended, but the timer is still in the ready queue
  runtime::Nanoseconds interval_ = 0;
  bool outdated_ = false;  // the timer in the ready queue is of an earlier setting
};

// While it lives, a due alarm ends the waits of the current task: Wake::kAlarm. The handler has not run then.
class AlarmEndsWait {
 public:
  AlarmEndsWait() noexcept : fiber_(*runtime::current_fiber()) { fiber_.alarm_ends_wait = true; }
  ~AlarmEndsWait() { fiber_.alarm_ends_wait = false; }
  AlarmEndsWait(const AlarmEndsWait&) = delete;
  AlarmEndsWait& operator=(const AlarmEndsWait&) = delete;

 private:
  runtime::Fiber& fiber_;
};

// While it lives, a call that an alarm ends returns EINTR, and the handler does not run: the caller has
// objects to destroy first.
class AlarmLater {
 public:
  explicit AlarmLater(runtime::Fiber& fiber) noexcept : fiber_(fiber) { fiber_.alarm_later = true; }
  ~AlarmLater() { fiber_.alarm_later = false; }
  AlarmLater(const AlarmLater&) = delete;
  AlarmLater& operator=(const AlarmLater&) = delete;

 private:
  runtime::Fiber& fiber_;
};

enum class AfterAlarm : std::uint8_t {
  kFails,    // the call fails with EINTR: sleeps, poll, calls with a time limit
  kMayGoOn,  // unless the handler was set with SA_RESTART
};

namespace detail {
bool alarm_is_let_in(const sigset_t* mask) noexcept;
bool run_alarm_handler(AfterAlarm then, const sigset_t* mask);
}  // namespace detail

// Whether the current task's alarm is due and not blocked, so that its handler is to run. `mask`: the signal
// mask of the call; null: the thread's.
inline bool alarm_is_let_in(const sigset_t* mask = nullptr) noexcept {
  return AIOFIBER_UNLIKELY(runtime::current_fiber()->alarm_due) && detail::alarm_is_let_in(mask);
}

// Call it before and after each wait that an alarm may end. If the alarm is due, runs the handler on this
// stack; it may not return. True: the call goes on, and errno is as before. False: the call ends, errno is
// EINTR.
inline bool run_alarm_handler(AfterAlarm then, const sigset_t* mask = nullptr) {
  return !alarm_is_let_in(mask) || detail::run_alarm_handler(then, mask);
}

}  // namespace aiofiber::hooks
