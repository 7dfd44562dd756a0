// SPDX-License-Identifier: Apache-2.0
//
// One wait of one fiber. The deadline's node can be on the stack because of the queue's order: an expired
// timer that lost the race is in the ready queue before the fiber, so it has run when park() returns.
#include "aiofiber/runtime/engine/parker.h"

#include <algorithm>
#include <cstdint>
#include <typeinfo>

#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/held_locks.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::runtime {

Parker::~Parker() {
  fiber_.scheduler->timers().cancel(timer_);
  AIOFIBER_ASSERT(!timer_.queued);
}

void Parker::arm(Nanoseconds deadline) { fiber_.scheduler->timers().start(timer_, deadline); }

namespace {

// After a cancellation, most code gives up after a few calls: closing, a good-bye. Code that ignores it
// retries for ever, and would keep the CPU busy until its loop ends.
constexpr std::uint8_t kRefusedAtOnce = 8;
constexpr std::uint8_t kPacesToTheLongest = 20;
constexpr Nanoseconds kLongerEachTime = 5'000'000;
static_assert(Fiber::kRefusedWaitsOfOneThatIgnores > kRefusedAtOnce);

inline void tell_step_ends(Fiber& fiber) noexcept {
  const auto* const observer = fiber.scheduler->step_observer;
  if (AIOFIBER_UNLIKELY(observer != nullptr)) observer->ends(fiber);
}
inline void tell_step_begins(Fiber& fiber) noexcept {
  const auto* const observer = fiber.scheduler->step_observer;
  if (AIOFIBER_UNLIKELY(observer != nullptr)) observer->begins(fiber);
}

// The calling wait of a fiber that is unwound: throws MachineDeath if its machine dies, and if that reaches a
// handler.
AIOFIBER_NOINLINE void die_with_machine(Fiber& fiber) {
  if (AIOFIBER_LIKELY(current_network == nullptr) || !current_network->is_dying()) return;
  Registers frame = current_registers();
  std::uintptr_t own_frame[1];
  unwind_onwards(frame, fiber.bounds(), own_frame);
  if (!throw_would_terminate(frame, fiber.bounds(), {.type = &typeid(MachineDeath)})) throw MachineDeath();
}

}  // namespace

Wake Parker::park(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole) {
  AIOFIBER_ASSERT(&fiber_ == current_fiber());
  if (AIOFIBER_UNLIKELY(fiber_.interrupted || fiber_.unwinding)) return refuse(kind, arg, deadline, whole);
  fiber_.refused_waits = 0;
  return suspend(kind, arg, deadline, whole);
}

Wake Parker::refuse(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole) {
  if (refused_by_closing_loop()) return Wake::kInterrupted;
  if (fiber_.refused_waits < Fiber::kRefusedWaitsOfOneThatIgnores) ++fiber_.refused_waits;
  if (fiber_.refused_waits <= kRefusedAtOnce) return Wake::kInterrupted;
  if (fiber_.ignores_interruption()) fiber_.scheduler->tell_of_ignored_interruption();
  const Nanoseconds pause =
      std::min<int>(fiber_.refused_waits - kRefusedAtOnce, kPacesToTheLongest) * kLongerEachTime;
  const Nanoseconds end_of_pause = saturating_add(fiber_.scheduler->now(), pause);
  fiber_.interrupted = false;
  Wake reason = Wake::kInterrupted;
  try {
    reason = suspend(kind, arg, std::min(deadline, end_of_pause), whole);
  } catch (...) {
    fiber_.interrupted = true;
    throw;
  }
  fiber_.interrupted = true;
  return reason == Wake::kTimedOut && deadline > end_of_pause ? Wake::kInterrupted : reason;
}

// The fiber waits from now on.
inline void Parker::enter() noexcept {
  fiber_.parker = this;
  fiber_.state = AIOFIBER_WAITING;
  parked_ = true;
}

inline void Parker::leave() noexcept {
  parked_ = false;
  fiber_.parker = nullptr;
  fiber_.wait_kind = AIOFIBER_WAIT_NONE;
  fiber_.wait_limit = limit_around_;
  fiber_.scheduler->timers().cancel(timer_);
}

Wake Parker::suspend(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole) {
  if (reason_ != Wake::kNone) return reason_;
  if (deadline != kForever) arm(deadline);
  fiber_.set_wait(kind, arg, whole.since != 0 ? whole.since : fiber_.scheduler->last_poll());
  limit_around_ = fiber_.wait_limit;
  own_limit_ = kind != AIOFIBER_WAIT_SLEEP ? whole.until : kForever;
  if (own_limit_ != kForever) fiber_.shorten_limit(own_limit_);
  // Threads nest locks too; a wait for anything else may last.
  if (kind != AIOFIBER_WAIT_LOCK) held_locks::check_suspension(fiber_);
  tell_step_ends(fiber_);
  enter();
  fiber_.scheduler->suspend();
  leave();
  tell_step_begins(fiber_);
  if (AIOFIBER_UNLIKELY(fiber_.unwinding)) {
    die_with_machine(fiber_);
    return Wake::kInterrupted;
  }
  return reason_;
}

void Parker::begin_sleep(Nanoseconds deadline) {
  arm(deadline);
  fiber_.set_wait(AIOFIBER_WAIT_SLEEP, static_cast<std::uint64_t>(deadline), fiber_.scheduler->last_poll());
  limit_around_ = fiber_.wait_limit;
  own_limit_ = kForever;
  enter();
}

void Parker::end_sleep() noexcept { leave(); }

void Parker::set_limit(std::uint64_t limit) noexcept {
  limit_around_ = fiber_.wait_limit = limit;
  if (own_limit_ != kForever) fiber_.shorten_limit(own_limit_);
}

void set_limit(Fiber& fiber, std::uint64_t limit) noexcept {
  if (fiber.parker != nullptr) {
    fiber.parker->set_limit(limit);
  } else {
    fiber.wait_limit = limit;
  }
}

bool Parker::wake(Wake reason) noexcept {
  if (reason_ != Wake::kNone) return false;
  reason_ = reason;
  // Cancel it now, not when the fiber runs: a deadline that expired meanwhile would be queued after the
  // fiber.
  fiber_.scheduler->timers().cancel(timer_);
  if (reason == Wake::kInterrupted) fiber_.interrupted = true;
  if (parked_) fiber_.scheduler->wake_fiber(fiber_);
  return true;
}

bool refused_by_closing_loop() {
  Fiber& self = *current_fiber();
  if (AIOFIBER_LIKELY(!self.unwinding)) return false;
  if (self.ignores_interruption()) self.scheduler->abandon_current();
  self.scheduler->count_unwind_request();
  die_with_machine(self);
  return true;
}

void yield_now() {
  if (refused_by_closing_loop()) return;
  Fiber& self = *current_fiber();
  tell_step_ends(self);
  self.scheduler->yield();
  tell_step_begins(self);
}

}  // namespace aiofiber::runtime
