// SPDX-License-Identifier: Apache-2.0
//
// TestLoop with advance(), and wait_all_tasks_blocked().
#include "aiofiber/testing.h"

#include <absl/cleanup/cleanup.h>

#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/task.h"

namespace aiofiber::testing {

TestLoop::TestLoop() : TestLoop(std::make_shared<runtime::VirtualClock>()) {}

TestLoop::TestLoop(const std::shared_ptr<runtime::VirtualClock>& clock)
    : EventLoop(runtime::make_scheduler(*clock)), clock_(clock.get()) {
  core().keep_alive = clock;
}

void TestLoop::advance(Duration duration) {
  if (is_running()) throw RuntimeError("advance() is for a loop that does not run: await a sleep() instead");
  call_later(duration, [this] { stop(); });
  run_forever();
}

void wait_all_tasks_blocked() {
  detail::TaskCore& task = detail::require_current_task();
  runtime::Scheduler& scheduler = task.loop().scheduler();
  // Other tasks that wait here are always ready, but do not count as a reason to wait.
  static constinit thread_local std::size_t waiting = 0;
  ++waiting;
  const absl::Cleanup count = [] { --waiting; };
  do {
    task.wait_one_pass();
  } while (scheduler.ready_count() > waiting - 1);
}

}  // namespace aiofiber::testing
