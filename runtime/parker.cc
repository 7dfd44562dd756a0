// SPDX-License-Identifier: Apache-2.0
//
// One wait of one fiber. Order of queueing makes it safe to keep the deadline's node on the stack: an
// expired timer that lost the race is in the ready queue before the fiber, so it has run when we return.
#include "aiofiber/runtime/parker.h"

#include "aiofiber/runtime/assert.h"
#include "aiofiber/runtime/held_locks.h"
#include "aiofiber/runtime/scheduler.h"

namespace aiofiber::runtime {

Parker::~Parker() {
  fiber_.scheduler->timers().cancel(timer_);
  AIOFIBER_ASSERT(!timer_.queued);
}

void Parker::arm(Nanoseconds deadline) { fiber_.scheduler->timers().start(timer_, deadline); }

Wake Parker::park(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole) {
  AIOFIBER_ASSERT(&fiber_ == current_fiber());
  if (AIOFIBER_UNLIKELY(fiber_.interrupted || fiber_.unwinding)) return Wake::kInterrupted;
  if (reason_ != Wake::kNone) return reason_;
  Scheduler& scheduler = *fiber_.scheduler;
  if (deadline != kForever) arm(deadline);
  fiber_.set_wait(kind, arg, whole.since != 0 ? whole.since : scheduler.last_poll());
  const std::uint64_t limit = fiber_.wait_owner;  // of the code that is run; stands for the owner of a lock
  if (kind != AIOFIBER_WAIT_LOCK && kind != AIOFIBER_WAIT_SLEEP && whole.until != kForever) fiber_.shorten_limit(whole.until);
  // Locks are nested as threads nest them; a wait for anything else may last.
  if (kind != AIOFIBER_WAIT_LOCK) held_locks::check_suspension(fiber_);
  fiber_.parker = this;
  fiber_.state = AIOFIBER_WAITING;
  parked_ = true;
  scheduler.suspend();
  parked_ = false;
  fiber_.parker = nullptr;
  fiber_.wait_kind = AIOFIBER_WAIT_NONE;
  fiber_.wait_owner = limit;
  scheduler.timers().cancel(timer_);
  if (AIOFIBER_UNLIKELY(fiber_.unwinding)) return Wake::kInterrupted;
  return reason_;
}

bool Parker::wake(Wake reason) noexcept {
  if (reason_ != Wake::kNone) return false;
  reason_ = reason;
  // Now, not when the fiber runs: a deadline that expired meanwhile would be queued behind the fiber.
  fiber_.scheduler->timers().cancel(timer_);
  if (reason == Wake::kInterrupted) fiber_.interrupted = true;
  if (parked_) fiber_.scheduler->wake_fiber(fiber_);
  return true;
}

void yield_now() {
  Fiber& self = *current_fiber();
  if (!self.unwinding) self.scheduler->yield();
}

}  // namespace aiofiber::runtime
