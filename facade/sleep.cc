// SPDX-License-Identifier: Apache-2.0
//
// See the header. The deadline counts from the await, not from the call that made the Coroutine.
#include "aiofiber/sleep.h"

#include "aiofiber/task_core.h"

namespace aiofiber {

namespace detail {

void sleep_here(Duration delay) {
  TaskCore& task = require_current_task();
  if (delay <= Duration()) {
    task.wait_one_pass();
    return;
  }
  const TimePoint now{std::chrono::nanoseconds(task.loop().scheduler().now())};
  task.wait_until(saturating_add(now, delay).time_since_epoch().count());
}

EntryInfo sleep_entry() noexcept { return entry_of(static_cast<Coroutine<void> (*)(Duration)>(&aiofiber::sleep)); }

namespace {
struct PlainSleep {
  Duration delay;
  void operator()() { sleep_here(delay); }
  EntryInfo entry() const noexcept { return sleep_entry(); }
};
}  // namespace

}  // namespace detail

Coroutine<void> sleep(Duration delay) { return Coroutine<void>(detail::PlainSleep{delay}); }

}  // namespace aiofiber
