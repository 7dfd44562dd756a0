// SPDX-License-Identifier: Apache-2.0
//
// The state changes of a Barrier: wait, reset and abort.
#include "aiofiber/barrier.h"

#include <absl/strings/str_cat.h>

#include <limits>

namespace aiofiber {

namespace detail {

namespace {
constexpr std::size_t kEverybody = std::numeric_limits<std::size_t>::max();

// Holds the condition's lock for a scope.
class Holding {
 public:
  explicit Holding(LockState& lock) : lock_(lock) { lock_.acquire(); }
  // The lock is not held if a closing loop unwinds a waiting task.
  ~Holding() { lock_.unlock_if_locked(); }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

 private:
  LockState& lock_;
};
}  // namespace

template <class Predicate>
void BarrierState::wait_until(Predicate predicate) {
  while (!predicate()) condition->wait();
}

// Waits until all parties of the last round have left.
void BarrierState::hold_off() {
  wait_until([this] { return phase != Phase::kDraining && phase != Phase::kResetting; });
  if (phase == Phase::kBroken) throw BrokenBarrierError("Barrier aborted");
}

void BarrierState::leave() {
  if (--count > 0) return;
  if (phase == Phase::kResetting || phase == Phase::kDraining) phase = Phase::kFilling;
  condition->wake(kEverybody);
}

std::size_t BarrierState::wait() {
  const runtime::Ref<BarrierState> self(this);
  const Holding holding(*condition->lock);
  hold_off();
  struct Inside : Party {
    explicit Inside(BarrierState& barrier) noexcept : state(barrier) {
      state.arrived.push_back(*this);
      ++state.count;
    }
    ~Inside() {
      if (linked()) unlink();
      state.leave();
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    BarrierState& state;
  } party(*this);
  if (count == parties) {
    phase = Phase::kDraining;
    // Numbered now, because a cancelled party has left a gap.
    for (std::size_t next = 0; Party* released = arrived.pop_front(); ++next) released->index = next;
    condition->wake(kEverybody);
    return party.index;
  }
  wait_until([this] { return phase != Phase::kFilling; });
  if (phase == Phase::kBroken || phase == Phase::kResetting)
    throw BrokenBarrierError("Abort or reset of barrier");
  return party.index;
}

void BarrierState::reset() {
  const runtime::Ref<BarrierState> self(this);
  const Holding holding(*condition->lock);
  phase = count > 0 ? Phase::kResetting : Phase::kFilling;
  condition->wake(kEverybody);
}

void BarrierState::abort() {
  const runtime::Ref<BarrierState> self(this);
  const Holding holding(*condition->lock);
  phase = Phase::kBroken;
  condition->wake(kEverybody);
}

}  // namespace detail

Barrier::Barrier(std::ptrdiff_t parties) : state_(new detail::BarrierState) {
  if (parties < 1) throw ValueError("parties must be > 0");
  state_->parties = static_cast<std::size_t>(parties);
  state_->condition = runtime::Ref<detail::ConditionState>(new detail::ConditionState);
  state_->condition->waiters.show_as(AIOFIBER_WAIT_BARRIER, &*state_);
  state_->condition->lock = runtime::Ref<detail::LockState>(new detail::LockState);
}

Coroutine<std::size_t> Barrier::wait() {
  return Coroutine<std::size_t>([state = state_] { return state->wait(); });
}
Coroutine<void> Barrier::reset() {
  return Coroutine<void>([state = state_] { state->reset(); });
}
Coroutine<void> Barrier::abort() {
  return Coroutine<void>([state = state_] { state->abort(); });
}

std::size_t Barrier::n_waiting() const noexcept {
  return state_->phase == detail::BarrierState::Phase::kFilling ? state_->count : 0;
}

std::string repr(const Barrier& barrier) {
  static constexpr const char* kNames[] = {"filling", "draining", "resetting", "broken"};
  const detail::BarrierState& state = *barrier.state_;
  std::string extra = kNames[static_cast<std::size_t>(state.phase)];
  if (!barrier.broken()) {
    absl::StrAppend(&extra, ", waiters:", barrier.n_waiting(), "/", state.parties);
  }
  return detail::lock_repr("Barrier", &state, extra, 0);
}

}  // namespace aiofiber
