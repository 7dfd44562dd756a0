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
#include "aiofiber/cancel_walk.h"

#include "aiofiber/gather.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

namespace {

// Asks the future. Returns the next future to ask, or null: walk.accepted is then the answer.
FutureBase* enter(FutureBase& future, FutureBase* above, CancelWalk& walk) {
  if (TaskCore* task = future.task()) return task->enter_walk(walk, above);
  if (future.wait_kind == AIOFIBER_WAIT_GATHER && !future.done()) {
    if (GatherCore* gather = future.gather()) return gather->enter_walk(walk, above);
  }
  walk.accepted = future.cancel(walk.message);
  return nullptr;
}

}  // namespace

bool cancel_by_walk(FutureBase& root, const RareText& message, CancelSource source) {
  CancelWalk walk{message, source};
  FutureBase* above = nullptr;
  FutureBase* at = &root;
  for (;;) {
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
    }
    above = std::exchange(at, next);
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
  if (cancel_requests_ < kMostRequests) ++cancel_requests_;
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

}  // namespace aiofiber::detail
