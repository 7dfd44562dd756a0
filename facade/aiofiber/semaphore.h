// SPDX-License-Identifier: Apache-2.0
//
// Semaphore and BoundedSemaphore: at most N tasks at a time. Fair, as Lock is.
//
// release() hands its unit straight to the first waiter, so nobody can overtake but by try_lock(). Source:
// asyncio.Semaphore.
// Threads: the loop's.
#pragma once

#include <cstdint>
#include <string>

#include "aiofiber/coroutine.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

namespace detail {
struct SemaphoreState final : Counted<SemaphoreState> {
  bool locked() const { return value == 0 || !waiters.all_cancelled(); }
  bool acquire();
  void give_back();
  // Gives one unit to the first who is not woken; false if nobody waits.
  bool hand_over();

  std::int64_t value = 0;
  std::int64_t bound_value = -1;  // negative: not bounded
  const char* type = "Semaphore";
  WaitQueue waiters{AIOFIBER_WAIT_SEMAPHORE, this};
  LoopBound bound;
};
}  // namespace detail

class Semaphore {
 public:
  // ValueError "Semaphore initial value must be >= 0".
  explicit Semaphore(std::int64_t value = 1);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // True when the value is 0 or somebody waits: acquire() would suspend.
  bool locked() const { return state_->locked(); }
  // Takes one unit, waiting for it if need be; gives true.
  // Cancellation: a cancellation point when it suspends; a unit that was just handed over goes to the next
  // one. Errors: CancelledError; RuntimeError: another loop's semaphore.
  Coroutine<bool> acquire();
  // Gives one unit back. ValueError "BoundedSemaphore released too many times".
  void release() { state_->give_back(); }

  // Lockable, as Lock; unlock() is release().
  void lock() { state_->acquire(); }
  void unlock() { state_->give_back(); }
  // Takes a unit that nobody has used yet, also before those who wait; they stay in line. std::lock() and
  // std::scoped_lock need that, as Lock's.
  bool try_lock();

  friend std::string repr(const Semaphore& semaphore);

 protected:
  runtime::Ref<detail::SemaphoreState> state_;
};
std::string repr(const Semaphore& semaphore);

// A Semaphore whose value never exceeds what it began with: release() throws ValueError instead.
class BoundedSemaphore : public Semaphore {
 public:
  explicit BoundedSemaphore(std::int64_t value = 1);
};

}  // namespace aiofiber
