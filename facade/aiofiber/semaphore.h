// SPDX-License-Identifier: Apache-2.0
//
// Semaphore and BoundedSemaphore: at most N tasks at a time. Fair, as Lock is.
//
// release() gives its unit directly to the first waiter, so only try_lock() can overtake waiters. Source:
// asyncio.Semaphore.
// Threads: the loop's.
//
//     asyncio::Semaphore at_once(2);
//     int running = 0, most = 0;
//     auto call = [&] {
//       const std::scoped_lock place(at_once);
//       most = std::max(most, ++running);
//       asyncio::await(asyncio::sleep(1ms));
//       --running;
//     };
//     asyncio::await(asyncio::gather(call, call, call));
//     assert(most == 2);
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "aiofiber/coroutine.h"
#include "aiofiber/lock.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

namespace detail {
struct SemaphoreState final : Counted<SemaphoreState> {
  bool locked() const { return value == 0 || !waiters.all_cancelled(); }
  bool acquire();
  static Coro<bool> acquire_without_stack(runtime::Ref<SemaphoreState> semaphore);
  void give_back();
  // Gives one unit to the first waiter that is not woken; false if there is none.
  bool hand_over();
  // For units that came back while the first waiters could not take them.
  void hand_over_all();

  std::int64_t value = 0;
  std::int64_t bound_value = -1;  // negative: not bounded
  std::string_view type = "Semaphore";
  WaitQueue waiters{AIOFIBER_WAIT_SEMAPHORE, this};
  LoopBound bound;
};
}  // namespace detail

// A number of places; std::scoped_lock takes one and gives it back. Source: asyncio.Semaphore.
class Semaphore {
 public:
  // ValueError "Semaphore initial value must be >= 0".
  explicit Semaphore(std::int64_t value = 1);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // True when the value is 0 or there are waiters: acquire() would suspend.
  bool locked() const { return state_->locked(); }
  // Takes one unit, and waits for it if necessary; gives true.
  // Cancellation: a cancellation point when it suspends; a unit that was just handed over goes to the next
  // waiter. Errors: CancelledError; RuntimeError: another loop's semaphore.
  Coroutine<bool> acquire() { return Coroutine<bool>(detail::Acquire<detail::SemaphoreState>{state_}); }
  // Gives one unit back. ValueError "BoundedSemaphore released too many times".
  void release() { state_->give_back(); }

  // Lockable, as Lock; unlock() is release().
  void lock() { state_->acquire(); }
  void unlock() { state_->give_back(); }  // as release()
  // Takes a unit that is free, or that its woken waiter has not used yet, even before other waiters, which
  // keep their places. std::lock() and std::scoped_lock need this, as for Lock.
  bool try_lock();

  friend std::string repr(const Semaphore& semaphore);

 protected:
  runtime::Ref<detail::SemaphoreState> state_;
};
// The text that asyncio prints, with the value and the count of waiting tasks.
std::string repr(const Semaphore& semaphore);

// A Semaphore whose value never exceeds its initial value: release() throws ValueError instead.
class BoundedSemaphore : public Semaphore {
 public:
  // ValueError "Semaphore initial value must be >= 0".
  explicit BoundedSemaphore(std::int64_t value = 1);
};

}  // namespace aiofiber
