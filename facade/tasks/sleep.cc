// SPDX-License-Identifier: Apache-2.0
//
// Sleeps longer than one pass, and the name of sleep() in reports.
#include "aiofiber/sleep.h"

namespace aiofiber {

namespace detail {

void sleep_timed(Duration delay) {
  TaskCore& task = require_current_task();
  const TimePoint now{std::chrono::nanoseconds(task.loop().scheduler().now())};
  task.wait_until(saturating_add(now, delay).time_since_epoch().count());
}

Coro<void> sleep_without_stack(Duration delay) { co_await SleepFor{delay}; }

EntryInfo sleep_entry() noexcept {
  return entry_of(static_cast<Coroutine<void> (*)(Duration)>(&aiofiber::sleep));
}

}  // namespace detail

}  // namespace aiofiber
