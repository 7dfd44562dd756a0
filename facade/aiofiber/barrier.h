// SPDX-License-Identifier: Apache-2.0
//
// Barrier: tasks wait until a given number of tasks has arrived; then all go on. Source: asyncio.Barrier.
//
// Reusable. The barrier drains from the release until the last party has left. Tasks that arrive meanwhile
// wait for the next round. Each round wakes all of them, in asyncio's order and passes: many more tasks than
// parties cost the square of their number (16,000 tasks and 2 parties: seconds). Threads: the loop's.
//
//     asyncio::Barrier barrier(2);
//     auto other = asyncio::create_task([&] { asyncio::await(barrier.wait()); });
//     asyncio::await(barrier.wait());          // both go on together
//     asyncio::await(other);
//     assert(barrier.n_waiting() == 0);
#pragma once

#include <cstddef>
#include <string>

#include "aiofiber/condition.h"
#include "aiofiber/coroutine.h"

namespace aiofiber {

namespace detail {
struct BarrierState final : Counted<BarrierState> {
  enum class Phase : unsigned char {
    kFilling,    // parties arrive and wait in `condition`
    kDraining,   // released parties leave; newcomers wait in `condition`
    kResetting,  // parties leave with BrokenBarrierError
    kBroken,     // aborted, until reset
  };
  std::size_t wait();
  void reset();
  void abort();

  // One task in the barrier; this object is on the task's stack.
  struct Party : runtime::ListNode {
    std::size_t index = 0;  // valid after the release
  };
  std::size_t parties = 0;
  std::size_t count = 0;         // tasks in the barrier
  runtime::List<Party> arrived;  // parties that wait for the release, in order of arrival
  Phase phase = Phase::kFilling;
  runtime::Ref<ConditionState> condition;

 private:
  void hold_off();
  void leave();
  template <class Predicate>
  void wait_until(Predicate predicate);
};
}  // namespace detail

// A meeting point for a fixed number of tasks: all go on when the last has come. Source: asyncio.Barrier.
class Barrier {
 public:
  // ValueError "parties must be > 0".
  explicit Barrier(std::ptrdiff_t parties);
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // Waits until `parties` tasks wait. Gives the order of arrival, 0 to parties - 1. The last party does not
  // suspend. Cancellation: a cancellation point; a cancelled party leaves, and the barrier is not broken.
  // Differs from asyncio: when a cancelled party leaves, the later parties move up, so that each index is
  // given once.
  // Errors: BrokenBarrierError "Abort or reset of barrier", "Barrier aborted"; CancelledError.
  Coroutine<std::size_t> wait();
  // Waiting parties get BrokenBarrierError. The barrier is then usable again, also after abort().
  // Cancellation: a cancellation point if the barrier's inner lock is contended.
  Coroutine<void> reset();
  // Waiting parties and later ones get BrokenBarrierError until reset(). Cancellation: as reset().
  Coroutine<void> abort();

  std::size_t parties() const noexcept { return state_->parties; }  // how many tasks each round waits for
  // 0 unless the barrier is filling.
  std::size_t n_waiting() const noexcept;
  // True from abort() to reset(). Does not suspend.
  bool broken() const noexcept { return state_->phase == detail::BarrierState::Phase::kBroken; }

  friend std::string repr(const Barrier& barrier);

 private:
  runtime::Ref<detail::BarrierState> state_;
};
// The text that asyncio prints, with the state and the count of waiting tasks.
std::string repr(const Barrier& barrier);

}  // namespace aiofiber
