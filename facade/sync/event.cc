// SPDX-License-Identifier: Apache-2.0
//
// The wait for an Event, and set(), which wakes all waiters.
#include "aiofiber/event.h"

namespace aiofiber {

namespace detail {

bool EventState::wait() {
  if (value) return true;
  TaskCore& task = require_current_task();
  const runtime::Ref<EventState> self(this);
  WaitQueue::Waiter waiter(waiters, bound.get_loop(&task, "Event", this));
  waiter.wait(task);
  return true;
}

Coro<bool> EventState::wait_without_stack(runtime::Ref<EventState> event) {
  if (event->value) co_return true;
  WaitQueue::Waiter waiter(event->waiters, event->bound.get_loop("Event", event.get()));
  co_await waiter.woken_up();
  co_return true;
}

void EventState::set() {
  if (value) return;
  value = true;
  waiters.wake(waiters.size());
}

}  // namespace detail

std::string repr(const Event& event) {
  const detail::EventState& state = *event.state_;
  return detail::lock_repr("Event", &state, state.value ? "set" : "unset", state.waiters.size());
}

}  // namespace aiofiber
