// SPDX-License-Identifier: Apache-2.0
//
// The wait of a Condition, which takes its lock again afterwards, and notify().
#include "aiofiber/condition.h"

#include <exception>

namespace aiofiber {

namespace detail {

bool ConditionState::wait() {
  if (!lock->locked) throw RuntimeError("cannot wait on un-acquired lock");
  TaskCore& task = require_current_task();
  const runtime::Ref<ConditionState> self(this);
  std::exception_ptr error;  // the last cancellation
  {
    WaitQueue::Waiter waiter(waiters, bound.get_loop(&task, "Condition", this));
    lock->unlock();
    try {
      waiter.wait(task);
    } catch (const runtime::PassesOn&) {
      throw;
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
  }
  // The caller must hold the lock after the wait, so it waits for the lock however often it is cancelled.
  for (bool held = false; !held;) {
    try {
      held = lock->acquire();
    } catch (const runtime::PassesOn&) {
      throw;
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
  }
  if (error == nullptr) return true;
  wake(1);  // it may have been notified: the notification goes to another waiter
  std::rethrow_exception(error);
}

Coro<bool> ConditionState::wait_without_stack(runtime::Ref<ConditionState> condition) {
  ConditionState& self = *condition;
  if (!self.lock->locked) throw RuntimeError("cannot wait on un-acquired lock");
  std::exception_ptr error;
  {
    WaitQueue::Waiter waiter(self.waiters, self.bound.get_loop("Condition", &self));
    self.lock->unlock();
    try {
      co_await waiter.woken_up();
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
  }
  for (bool held = false; !held;) {
    try {
      held = co_await LockState::acquire_without_stack(self.lock);
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
  }
  if (error == nullptr) co_return true;
  self.wake(1);
  std::rethrow_exception(error);
}

}  // namespace detail

void Condition::unlock() {
  if (std::uncaught_exceptions() > 0) {
    state_->lock->unlock_if_locked();
  } else {
    state_->lock->unlock();
  }
}

Coroutine<bool> Condition::wait() {
  return Coroutine<bool>(
      detail::TwoForms{[state = state_] { return state->wait(); },
                       [state = state_] { return detail::ConditionState::wait_without_stack(state); }});
}

void Condition::notify(std::size_t n) {
  if (!state_->lock->locked) throw RuntimeError("cannot notify on un-acquired lock");
  state_->wake(n);
}

std::string repr(const Condition& condition) {
  const detail::ConditionState& state = *condition.state_;
  return detail::lock_repr("Condition", &state, state.lock->locked ? "locked" : "unlocked",
                           state.waiters.size());
}

}  // namespace aiofiber
