// SPDX-License-Identifier: Apache-2.0
//
// cancel() of tasks and gathers: a walk passes the request down to what they wait for.
//
// Tasks and gathers may be nested as deep as memory allows, so the walk neither recurses nor allocates. The
// objects on the path store the way back up. A task's waits_for_ points upwards while the walk is below it
// (no user code runs meanwhile); a gather has its own field.
//
// In a ring, a task waits for a task that the walk has passed, directly or through gathers. Such a ring would
// wait for ever. The walk takes its last task out of its wait; this task raises CancelledError at its next
// step. The end of this task then ends the others.
//
// Gathers that share inputs lead to a task by many ways: n levels of two have 2^n. Each way is a request, as
// in asyncio. A walk that meets many that were asked before remembers from then on who was asked, and counts
// the other requests only (CancelMany).
//
// CancelMany: the futures that the walks have left, last one first, are in an order in which whoever waits
// comes before what it waits for (the reverse postorder of a depth-first search). So one pass in this order
// adds up the requests that were not passed on.
#include "aiofiber/cancel_walk.h"

#include <algorithm>
#include <limits>
#include <new>
#include <optional>

#include "aiofiber/gather.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

namespace {

GatherCore* gather_of(FutureBase& future) noexcept {
  return future.wait_kind == AIOFIBER_WAIT_GATHER ? future.gather() : nullptr;
}

// The second cancel() of a small structure needs no memory.
constexpr std::uint32_t kRepeatsWithoutMemory = 1000;

bool was_asked_before(FutureBase& future) noexcept {
  if (const TaskCore* task = future.task()) return task->cancelling() > 0;
  const GatherCore* gather = gather_of(future);
  return gather != nullptr && gather->cancel_requested();
}

// Asks the future. Returns the next future to ask, or null: walk.accepted is then the answer.
FutureBase* enter(FutureBase& future, FutureBase* above, CancelWalk& walk) {
  if (walk.many != nullptr && walk.many->was_here(future, above != nullptr, walk)) return nullptr;
  FutureBase* below = nullptr;
  if (TaskCore* task = future.task()) {
    below = task->enter_walk(walk, above);
  } else if (GatherCore* gather = future.done() ? nullptr : gather_of(future)) {
    below = gather->enter_walk(walk, above);
  } else {
    walk.accepted = future.cancel(walk.message);
    return nullptr;
  }
  if (below == nullptr && walk.many != nullptr && !walk.ring) walk.many->answers(future, walk, false);
  return below;
}

// `memory`: what the walk uses if it meets many that were asked before; null: it has one.
bool walk_down(FutureBase& root, CancelWalk& walk, std::optional<CancelMany>* memory) {
  FutureBase* above = nullptr;
  FutureBase* at = &root;
  for (;;) {
    if (walk.many == nullptr && was_asked_before(*at) && ++walk.repeats > kRepeatsWithoutMemory)
      walk.many = &memory->emplace();
    if (FutureBase* below = enter(*at, above, walk)) {
      above = std::exchange(at, below);
      continue;
    }
    // Goes up to the first gather that has another input to ask.
    FutureBase* next = nullptr;
    while (next == nullptr) {
      if (above == nullptr) return walk.accepted;
      FutureBase& answered = *std::exchange(at, above);
      if (TaskCore* task = at->task()) {
        above = task->leave_walk(walk, answered);
      } else {
        GatherCore& gather = *at->gather();
        next = gather.next_of_walk(walk);
        if (next == nullptr) above = gather.leave_walk(walk);
      }
      if (next == nullptr && walk.many != nullptr) walk.many->answers(*at, walk, true);
    }
    above = std::exchange(at, next);
  }
}

}  // namespace

bool cancel_by_walk(FutureBase& root, const RareText& message, CancelSource source) {
  std::optional<CancelMany> memory;
  CancelWalk walk{message, source};
  return walk_down(root, walk, &memory);
}

// ---- many tasks -------------------------------------------------------------------------------------------

void CancelMany::request(FutureBase& future) noexcept {
  const RareText no_message;
  CancelWalk walk{no_message, {}, this};
  walk_down(future, walk, nullptr);
}

bool CancelMany::was_here(FutureBase& future, bool from_above, CancelWalk& walk) noexcept {
  if (visits_.empty() && !from_above) return false;
  const auto known = visits_.find(&future);
  if (known == visits_.end()) {
    if (from_above && !future.done() && (future.task() != nullptr || gather_of(future) != nullptr))
      remember(future);
    return false;
  }
  if (!known->second.answered) return false;  // a ring
  walk.accepted = known->second.accepted;
  count(future, 1);
  return true;
}

void CancelMany::remember(FutureBase& future) noexcept {
  try {
    if (left_.capacity() == visits_.size()) left_.reserve(2 * visits_.size() + 16);
    visits_.try_emplace(&future);
  } catch (const std::bad_alloc&) {  // it will be asked again
  }
}

void CancelMany::answers(FutureBase& future, const CancelWalk& walk, bool asked_below) noexcept {
  const auto known = visits_.find(&future);
  if (known == visits_.end()) return;
  known->second.answered = true;
  known->second.accepted = walk.accepted;
  if (asked_below) left_.push_back(&future);
}

void CancelMany::count(FutureBase& future, std::uint32_t requests) noexcept {
  if (TaskCore* task = future.task()) task->count_requests(requests);
  if (const auto known = visits_.find(&future); known != visits_.end()) {
    std::uint32_t& repeated = known->second.repeated;
    repeated += std::min(requests, std::numeric_limits<std::uint32_t>::max() - repeated);
  }
}

CancelMany::~CancelMany() {
  for (auto left = left_.rbegin(); left != left_.rend(); ++left) {
    FutureBase* const future = *left;
    const std::uint32_t repeated = visits_.find(future)->second.repeated;
    if (repeated == 0) continue;
    if (TaskCore* task = future->task()) {
      count(*task->waits_for(), repeated);
    } else {
      future->gather()->count_requests(*this, repeated);
    }
  }
}

// ---- a task -----------------------------------------------------------------------------------------------

bool TaskCore::cancel(const RareText& message, CancelSource source) {
  return cancel_by_walk(future_, message, source);
}

FutureBase* TaskCore::enter_walk(CancelWalk& walk, FutureBase* above) noexcept {
  walk.accepted = false;
  if (future_.done()) {
    future_.mark_retrieved();
    return nullptr;
  }
  if (fiber_ == nullptr) return nullptr;  // its loop was closed while it was pending
  walk.accepted = true;
  if (cancel_walk_) {
    walk.ring = true;
    return nullptr;
  }
  CancelSource source = above == nullptr ? walk.source : CancelSource{};
  // Two requesters of different kinds: the scope then throws an ordinary CancelledError.
  if (must_cancel_ && source_scope_ != source.scope) source = {};
  count_requests(1);
  if (waits_for_ == nullptr || !fiber_->suspended()) {
    if (fiber_->interrupted && must_cancel_) {
      // Asked already, but not yet resumed: one CancelledError serves both requests. If only that of the
      // first could pass, the first's scope keeps this request.
      cancel_message_ = walk.message;
      const bool passes = fiber_ == runtime::current_fiber() || can_be_thrown_at(source);
      if (source_scope_ != source.scope && passes) source_scope_ = 0;
    } else if (!interrupt_current_wait(walk.message, source)) {
      remember_request(walk.message, source);
    }
    return nullptr;
  }
  // The running task is about to suspend: it has no saved frames yet. wait_for_future() has made this check
  // itself.
  if (fiber_ != runtime::current_fiber() && !can_be_thrown_at(source)) {
    remember_request(walk.message, source);
    return nullptr;
  }
  cancel_walk_ = true;
  return std::exchange(waits_for_, above);
}

void TaskCore::count_requests(std::uint32_t requests) noexcept {
  if (future_.done()) return;
  const auto most = static_cast<std::uint32_t>(kMostRequests - cancel_requests_);
  const int counted = static_cast<int>(std::min(requests, most));
  cancel_requests_ = (cancel_requests_ + counted) & kMostRequests;  // fits: for the compiler only
}

FutureBase* TaskCore::leave_walk(CancelWalk& walk, FutureBase& awaited) noexcept {
  FutureBase* const above = std::exchange(waits_for_, &awaited);
  cancel_walk_ = false;
  const bool ring = std::exchange(walk.ring, false);
  if (!walk.accepted || ring) remember_request(walk.message, above == nullptr ? walk.source : CancelSource{});
  if (ring && waiter_ != nullptr && waiter_->linked()) {
    waiter_->unlink();
    if (GatherCore* gather = awaited.gather()) gather->let_reader_go();
    loop().scheduler().wake_fiber(*fiber_);
  }
  walk.accepted = true;
  return above;
}

// ---- a gather ---------------------------------------------------------------------------------------------

bool GatherCore::cancel(const RareText& message) {
  if (outer_.done()) return false;
  outer_.loop().check_open();  // otherwise the inputs' waiters could not be scheduled
  return cancel_by_walk(outer_, message, {});
}

FutureBase* GatherCore::enter_walk(CancelWalk& walk, FutureBase* above) noexcept {
  if (cancel_walk_) {
    walk.accepted = walk.ring = true;
    return nullptr;
  }
  cancel_walk_ = true;
  cancel_accepted_ = walk.accepted = false;
  cancel_ring_ = false;
  cancel_next_ = 0;
  cancel_above_ = above;
  FutureBase* const first = next_of_walk(walk);
  if (first == nullptr) leave_walk(walk);
  return first;
}

FutureBase* GatherCore::next_of_walk(CancelWalk& walk) noexcept {
  cancel_accepted_ = cancel_accepted_ || walk.accepted;
  // A task above closes it, not the next input.
  cancel_ring_ = std::exchange(walk.ring, false) || cancel_ring_;
  while (cancel_next_ < watches_.size()) {
    if (FutureBase* input = watches_[cancel_next_++].input.get()) return input;
  }
  return nullptr;
}

FutureBase* GatherCore::leave_walk(CancelWalk& walk) noexcept {
  cancel_walk_ = false;
  walk.accepted = cancel_accepted_;
  walk.ring = cancel_ring_;
  if (cancel_accepted_) cancel_requested_ = true;
  return cancel_above_;
}

void GatherCore::count_requests(CancelMany& many, std::uint32_t requests) noexcept {
  for (Watch& watch : watches_) {
    if (FutureBase* input = watch.input.get()) many.count(*input, requests);
  }
}

}  // namespace aiofiber::detail
