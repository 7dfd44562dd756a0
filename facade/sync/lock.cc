// SPDX-License-Identifier: Apache-2.0
//
// Acquiring and releasing a Lock, and waking its next waiter.
#include "aiofiber/lock.h"

#include <exception>

namespace aiofiber {

namespace detail {

void LockState::take() noexcept {
  locked = true;
  const runtime::Fiber* fiber = runtime::current_fiber_or_step();
  owner = fiber != nullptr ? fiber->id : 0;
}

bool LockState::acquire() {
  TaskCore& task = require_current_task();
  if (!locked && waiters.all_cancelled()) {
    take();
    return true;
  }
  const runtime::Ref<LockState> self(this);
  {
    WaitQueue::Waiter waiter(waiters, bound.get_loop(&task, "Lock", this));
    for (;;) {
      waiter.wait(task, [this] {
        if (!locked) waiters.wake_front();  // woken and cancelled before it ran
      });
      if (!locked) break;
      waiter.wait_again();  // try_lock() was faster
    }
  }
  take();
  return true;
}

Coro<bool> LockState::acquire_without_stack(runtime::Ref<LockState> lock) {
  if (!lock->locked && lock->waiters.all_cancelled()) {
    lock->take();
    co_return true;
  }
  {
    WaitQueue::Waiter waiter(lock->waiters, lock->bound.get_loop("Lock", lock.get()));
    for (;;) {
      co_await waiter.wait_without_stack([&lock] {
        if (!lock->locked) lock->waiters.wake_front();  // woken and cancelled before it ran
      });
      if (!lock->locked) break;
      waiter.wait_again();  // try_lock() was faster
    }
  }
  lock->take();
  co_return true;
}

bool LockState::try_acquire() noexcept {
  if (locked) return false;
  take();
  return true;
}

void LockState::unlock() {
  if (!locked) throw RuntimeError("Lock is not acquired.");
  locked = false;
  owner = 0;
  waiters.wake_front();
}

void LockState::unlock_if_locked() {
  if (locked) unlock();
}

std::string LockState::text() const {
  return lock_repr("Lock", this, locked ? "locked" : "unlocked", waiters.size());
}

}  // namespace detail

void Lock::unlock() {
  if (std::uncaught_exceptions() > 0) {
    state_->unlock_if_locked();
  } else {
    state_->unlock();
  }
}

bool Lock::try_lock() { return state_->try_acquire(); }

}  // namespace aiofiber
