// SPDX-License-Identifier: Apache-2.0
//
// The wait for a look-up, with the task's cancellation and its alarm.
#include "hooks/names/look_up.h"

#include "aiofiber/runtime/engine/parker.h"
#include "hooks/core/task_alarm.h"

namespace aiofiber::hooks::detail {

bool may_look_up() noexcept {
  const runtime::Fiber& fiber = *runtime::current_fiber();
  if (!fiber.interrupted && !fiber.unwinding) return true;
  // Refused like any wait, so that a task that retries is slowed down.
  without_throwing([] { runtime::Parker().park(AIOFIBER_WAIT_OFFLOAD, 0); });
  errno = ECANCELED;
  return false;
}

// If the alarm's handler returns, the wait goes on, as libc's own does after a signal.
bool wait_for_look_up() {
  for (;;) {
    run_alarm_handler(AfterAlarm::kMayGoOn);
    runtime::Wake reason = runtime::Wake::kNone;
    {
      const AlarmEndsWait ends_wait;
      reason = find_locals()->look_up->wait();
    }
    if (reason != runtime::Wake::kAlarm) return reason == runtime::Wake::kUnparked;
  }
}

}  // namespace aiofiber::hooks::detail
