// SPDX-License-Identifier: Apache-2.0
//
// Acquiring and giving back the units of a Semaphore.
#include "aiofiber/semaphore.h"

#include <absl/strings/str_cat.h>

namespace aiofiber {

namespace detail {

bool SemaphoreState::acquire() {
  TaskCore& task = require_current_task();
  if (!locked()) {
    --value;
    return true;
  }
  const runtime::Ref<SemaphoreState> self(this);
  {
    WaitQueue::Waiter waiter(waiters, bound.get_loop(&task, type, this));
    for (;;) {
      waiter.wait(task, [&] {
        if (waiter.woken() && !waiter.in_vain()) ++value;  // it got a unit and cannot use it
        hand_over_all();
      });
      if (!waiter.in_vain()) break;
      waiter.wait_again();  // try_lock() was faster
      hand_over_all();
    }
  }
  hand_over_all();
  return true;
}

Coro<bool> SemaphoreState::acquire_without_stack(runtime::Ref<SemaphoreState> semaphore) {
  SemaphoreState& self = *semaphore;
  if (!self.locked()) {
    --self.value;
    co_return true;
  }
  {
    WaitQueue::Waiter waiter(self.waiters, self.bound.get_loop(self.type, &self));
    for (;;) {
      co_await waiter.wait_without_stack([&] {
        if (waiter.woken() && !waiter.in_vain()) ++self.value;  // it got a unit and cannot use it
        self.hand_over_all();
      });
      if (!waiter.in_vain()) break;
      waiter.wait_again();  // try_lock() was faster
      self.hand_over_all();
    }
  }
  self.hand_over_all();
  co_return true;
}

void SemaphoreState::give_back() {
  if (bound_value >= 0 && value >= bound_value) throw ValueError("BoundedSemaphore released too many times");
  ++value;
  hand_over();
}

void SemaphoreState::hand_over_all() {
  while (value > 0 && hand_over()) {
  }
}

bool SemaphoreState::hand_over() {
  if (!waiters.wake_next()) return false;
  --value;
  return true;
}

}  // namespace detail

Semaphore::Semaphore(std::int64_t value) : state_(new detail::SemaphoreState) {
  if (value < 0) throw ValueError("Semaphore initial value must be >= 0");
  state_->value = value;
}

BoundedSemaphore::BoundedSemaphore(std::int64_t value) : Semaphore(value) {
  state_->bound_value = value;
  state_->type = "BoundedSemaphore";
}

bool Semaphore::try_lock() {
  if (state_->value == 0) return state_->waiters.take_back();
  --state_->value;
  return true;
}

std::string repr(const Semaphore& semaphore) {
  const detail::SemaphoreState& state = *semaphore.state_;
  return detail::lock_repr(state.type, &state,
                           state.locked() ? "locked" : absl::StrCat("unlocked, value:", state.value),
                           state.waiters.size());
}

}  // namespace aiofiber
