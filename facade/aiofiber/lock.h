// SPDX-License-Identifier: Apache-2.0
//
// Lock: mutual exclusion for tasks. Fair: first come, first served. Only try_lock() can overtake waiters.
//
// Source: asyncio.Lock. It is also a C++ Lockable, so `std::unique_lock guard(lock)` does what `async with
// lock` does. It has no owner: any task may release it. A task that acquires it twice waits for itself.
// Threads: the loop's. The lock may be made outside the loop; contended use binds it to a loop.
//
//     asyncio::Lock lock;
//     {
//       const std::scoped_lock held(lock);  // waits for it; the end of the block releases it
//       asyncio::await(asyncio::sleep(1ms));
//       assert(lock.locked());
//     }
//     assert(!lock.locked());
//
// Wrong: a lock around code that does not await. Nothing else runs meanwhile.
#pragma once

#include <string>

#include "aiofiber/coroutine.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

class Condition;

namespace detail {
struct LockState final : Counted<LockState> {
  bool acquire();
  static Coro<bool> acquire_without_stack(runtime::Ref<LockState> lock);
  void unlock();
  // For destructors: no error when the lock is not held.
  void unlock_if_locked();
  std::string text() const;

  bool try_acquire() noexcept;
  void take() noexcept;

  bool locked = false;
  std::uint64_t owner = 0;  // for debuggers: the fiber that took it last; 0: free, or taken outside tasks
  WaitQueue waiters{AIOFIBER_WAIT_LOCK, this, &owner};
  LoopBound bound;
};

// The call of acquire() in two forms (coroutine.h), of a lock or semaphore.
template <class State>
struct Acquire {
  runtime::Ref<State> state;
  bool operator()() { return state->acquire(); }
  Coro<bool> stackless_form() { return State::acquire_without_stack(std::move(state)); }
};
}  // namespace detail

// A mutex of tasks; std::scoped_lock works on it. Its waiters get it in their order. Source: asyncio.Lock.
class Lock {
 public:
  Lock() : state_(new detail::LockState) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  // Waits until the lock is free and takes it; gives true. Does not suspend if the lock is free and has no
  // waiters. Cancellation: a cancellation point when it suspends; the lock is then not held, and goes to the
  // next waiter. Errors: CancelledError; RuntimeError when the lock belongs to another loop.
  Coroutine<bool> acquire() { return Coroutine<bool>(detail::Acquire<detail::LockState>{state_}); }
  // Wakes the first waiter. RuntimeError "Lock is not acquired."
  void release() { state_->unlock(); }
  bool locked() const noexcept { return state_->locked; }  // some task holds it

  // Lockable, for std::unique_lock and std::lock_guard in a task. lock() is await(acquire()).
  void lock() { state_->acquire(); }
  // As release(), but leaves an unheld lock alone while an exception unwinds the stack: a guard must not
  // throw then.
  void unlock();
  // Takes the lock if it is free, even before its waiters, which keep their places. Needs no task.
  // std::lock() and std::scoped_lock need this on several locks to finish. It is their only way around the
  // fairness of acquire().
  bool try_lock();

  friend std::string repr(const Lock& lock) { return lock.state_->text(); }

 private:
  friend class Condition;
  runtime::Ref<detail::LockState> state_;
};
// The text that asyncio prints, with the state and the count of waiting tasks.
std::string repr(const Lock& lock);

}  // namespace aiofiber
