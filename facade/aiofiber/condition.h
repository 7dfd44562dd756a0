// SPDX-License-Identifier: Apache-2.0
//
// Condition: a task that holds a lock waits until another task reports a change.
//
// Source: asyncio.Condition, as of 3.13: if the receiver of a notification is cancelled, the notification is
// passed on. wait() may therefore return without reason: check again, or use wait_for().
// Threads: the loop's.
//
//     asyncio::Condition changed;
//     int value = 0;
//     auto waiter = asyncio::create_task([&] {
//       const std::scoped_lock held(changed);
//       asyncio::await(changed.wait_for([&] { return value == 3; }));
//     });
//     asyncio::await(asyncio::sleep(0s));
//     { const std::scoped_lock held(changed); value = 3; changed.notify_all(); }
//     asyncio::await(waiter);
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "aiofiber/coroutine.h"
#include "aiofiber/lock.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

namespace detail {
struct ConditionState final : Counted<ConditionState> {
  bool wait();
  static Coro<bool> wait_without_stack(runtime::Ref<ConditionState> condition);
  // Does not check that the lock is held.
  void wake(std::size_t n) { waiters.wake(n); }

  runtime::Ref<LockState> lock;
  WaitQueue waiters{AIOFIBER_WAIT_CONDITION, this};
  LoopBound bound;
};
}  // namespace detail

// A lock, and a queue of tasks that wait for a change of what it guards. Source: asyncio.Condition.
class Condition {
 public:
  // Makes its own lock.
  Condition() : Condition(runtime::Ref<detail::LockState>(new detail::LockState)) {}
  // Shares the lock's state; the Lock object need not outlive it.
  explicit Condition(Lock& lock) : Condition(lock.state_) {}
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  // As Lock's.
  Coroutine<bool> acquire() { return Coroutine<bool>(detail::Acquire<detail::LockState>{state_->lock}); }
  // As Lock::release(). RuntimeError "Lock is not acquired."
  void release() { state_->lock->unlock(); }
  bool locked() const noexcept { return state_->lock->locked; }  // as Lock::locked()
  // Lockable, as Lock: for std::unique_lock and std::lock_guard in a task. lock() is await(acquire()).
  void lock() { state_->lock->acquire(); }
  // As Lock::try_lock(): does not suspend.
  bool try_lock() { return state_->lock->try_acquire(); }
  // As Lock::unlock(): leaves an unheld lock alone while an exception unwinds the stack.
  void unlock();

  // Releases the lock, waits for a notification and takes the lock again; gives true.
  // Cancellation: a cancellation point; the lock is taken again first, and the notification passed on.
  // Errors: RuntimeError "cannot wait on un-acquired lock"; CancelledError.
  Coroutine<bool> wait();
  // wait() until predicate() is true in a boolean context; gives its last value.
  template <class Predicate>
  auto wait_for(Predicate predicate) {
    using R = std::decay_t<std::invoke_result_t<Predicate&>>;
    static_assert(std::is_constructible_v<bool, R>,
                  "the predicate of Condition::wait_for() must give something like a bool");
    return Coroutine<R>([state = state_, predicate = std::move(predicate)]() mutable {
      R result = predicate();
      while (!static_cast<bool>(result)) {
        state->wait();
        result = predicate();
      }
      return result;
    });
  }
  // Wakes at most n waiters, in FIFO order; they go on once they get the lock. RuntimeError "cannot notify on
  // un-acquired lock".
  void notify(std::size_t n = 1);
  // notify() for all waiters. RuntimeError as for notify().
  void notify_all() { notify(std::numeric_limits<std::size_t>::max()); }

  friend std::string repr(const Condition& condition);

 private:
  explicit Condition(runtime::Ref<detail::LockState> lock) : state_(new detail::ConditionState) {
    state_->lock = std::move(lock);
  }
  runtime::Ref<detail::ConditionState> state_;
};
// The text that asyncio prints, with the state of the lock and the count of waiting tasks.
std::string repr(const Condition& condition);

}  // namespace aiofiber
