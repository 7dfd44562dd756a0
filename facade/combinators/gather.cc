// SPDX-License-Identifier: Apache-2.0
//
// The part of gather() that does not depend on result types.
#include "aiofiber/gather.h"

#include "aiofiber/task_core.h"

namespace aiofiber::detail {

void GatherCore::add(runtime::Ref<FutureBase> input, bool made_here) {
  if (made_here) input->quiet_when_destroyed = true;
  Watch& watch = watches_[added_++];
  if (input->done()) {
    watch.keep(std::move(input));
  } else {
    watch.start(*this, std::move(input));
  }
}

void GatherCore::add_awaiting(std::vector<FutureBase*>& out) const { out.push_back(&outer_); }

void GatherCore::inputs_complete() noexcept {
  if (watches_.size() == 0) {
    deliver();
    return;
  }
  for (Watch& watch : watches_) {
    // Inputs that were done when they were added. An input that an eager task's first step has ended since is
    // queued, and comes by itself.
    if (watch.input->done() && !watch.queued) input_done(watch);
  }
}

void GatherCore::fail(std::exception_ptr error) {
  outer_.fail(std::move(error));
  if (reader_left_) outer_.mark_retrieved();
}

void GatherCore::input_done(Watch& watch) noexcept {
  FutureBase& input = *watch.input;
  ++finished_;
  if (outer_.done()) {
    input.mark_retrieved();
    return;
  }
  try {
    if (!collects_errors_) {
      if (input.cancelled()) {
        fail(input.cancelled_error());
        return;
      }
      if (input.failed()) {
        input.mark_retrieved();
        fail(input.peek_exception());
        return;
      }
    }
    if (finished_ < watches_.size()) return;
    if (cancel_requested_) {
      for (Watch& each : watches_) each.input->mark_retrieved();  // as if they were items of the result
      // The error of the last input in the list. If that did not end cancelled, its last request is used
      // instead.
      FutureBase& last = *watches_[watches_.size() - 1].input;
      const TaskCore* task = last.task();
      fail(last.cancelled()
               ? last.cancelled_error()
               : make_cancelled(
                     (task != nullptr ? task->last_cancel_message() : last.cancel_message()).view()));
    } else {
      deliver();
    }
  } catch (...) {
    // The copy of a result threw.
    if (!outer_.done()) fail(std::current_exception());
  }
}

}  // namespace aiofiber::detail
