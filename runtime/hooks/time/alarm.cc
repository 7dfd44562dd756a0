// SPDX-License-Identifier: Apache-2.0
//
// alarm, ualarm, setitimer and getitimer: in a task they set the task's own alarm (core/task_alarm.h).
//
// The handler of a task's alarm may set the next one. In the handler of a signal of the process, where
// nothing of the loop may be touched, the calls are libc's. Only ITIMER_REAL is a task's. The other timers
// count processor time, which tasks share; they stay the process's, and so does an alarm that is set outside
// of tasks.
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/locals.h"
#include "hooks/core/real.h"
#include "hooks/core/signals.h"
#include "hooks/core/task_alarm.h"

namespace aiofiber::hooks {

namespace {

using runtime::Nanoseconds;

constexpr Nanoseconds kMicrosecond = 1'000;

bool is_valid(const timeval& time) noexcept {
  return time.tv_sec >= 0 && time.tv_usec >= 0 && time.tv_usec < 1'000'000;
}

// Whether the alarm is a task's.
bool is_for_task() noexcept {
  if (act() != nullptr) return true;
  return runtime::current_fiber() != nullptr && HandlerRun::is_of_alarm() && !stands_aside;
}

// Centuries become the longest time.
Nanoseconds nanoseconds_of(const timeval& time) noexcept {
  const timespec same{time.tv_sec, time.tv_usec * kMicrosecond};
  return hooks::to_nanoseconds(&same);
}

// A time that is not over is not shown as 0, which means "not set".
timeval to_timeval(Nanoseconds time) noexcept {
  const Nanoseconds microseconds = time / kMicrosecond + (time % kMicrosecond != 0 ? 1 : 0);
  return {microseconds / 1'000'000, microseconds % 1'000'000};
}

// Sets the alarm of the current task and tells the setting before. An alarm that came while the task computed
// comes before the change. Its handler runs here; it may not return. False with errno ENOMEM.
bool set_alarm(const TaskAlarm::Setting& wanted, TaskAlarm::Setting& before) {
  TaskAlarm* alarm = nullptr;
  const bool made = without_throwing([&] {
    Locals& locals = get_locals();
    if (locals.alarm == nullptr) locals.alarm.reset(new TaskAlarm(*runtime::current_fiber()));
    alarm = locals.alarm.get();
  });
  if (!made) return false;
  if (act() != nullptr) {  // a handler is not interrupted by itself
    alarm->catch_up();
    const int saved_errno = errno;
    run_alarm_handler(AfterAlarm::kFails);
    errno = saved_errno;
  }
  before = alarm->get();
  return without_throwing([&] { alarm->set(wanted); });
}

// Without an alarm there is nothing to set, tell or create.
bool has_no_alarm() noexcept {
  const Locals* locals = find_locals();
  return locals == nullptr || locals->alarm == nullptr;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

unsigned alarm(unsigned seconds) noexcept {
  if (!is_for_task()) return real::alarm(seconds);
  if (seconds == 0 && has_no_alarm()) return 0;
  TaskAlarm::Setting before;
  if (!set_alarm({Nanoseconds{seconds} * kSecond, 0}, before)) return 0;
  // As Linux: rounded, but not to 0.
  if (before.left == 0) return 0;
  const Nanoseconds rounded = (before.left + kSecond / 2) / kSecond;
  return static_cast<unsigned>(rounded != 0 ? rounded : 1);
}

useconds_t ualarm(useconds_t time, useconds_t interval) noexcept {
  if (!is_for_task()) return real::ualarm(time, interval);
  TaskAlarm::Setting before;
  if (!set_alarm({time * kMicrosecond, interval * kMicrosecond}, before)) return static_cast<useconds_t>(-1);
  const timeval left = to_timeval(before.left);
  return static_cast<useconds_t>(left.tv_sec * 1'000'000 + left.tv_usec);
}

int setitimer(__itimer_which_t which, const itimerval* wanted, itimerval* old) noexcept {
  if (!is_for_task() || which != ITIMER_REAL || wanted == nullptr) return real::setitimer(which, wanted, old);
  if (!is_valid(wanted->it_value) || !is_valid(wanted->it_interval)) {
    errno = EINVAL;
    return -1;
  }
  TaskAlarm::Setting before;
  if (!set_alarm({nanoseconds_of(wanted->it_value), nanoseconds_of(wanted->it_interval)}, before)) return -1;
  if (old != nullptr) *old = {to_timeval(before.interval), to_timeval(before.left)};
  return 0;
}

int getitimer(__itimer_which_t which, itimerval* value) noexcept {
  if (!is_for_task() || which != ITIMER_REAL || value == nullptr) return real::getitimer(which, value);
  const TaskAlarm::Setting setting = has_no_alarm() ? TaskAlarm::Setting{} : find_locals()->alarm->get();
  *value = {to_timeval(setting.interval), to_timeval(setting.left)};
  return 0;
}

}  // extern "C"
