// SPDX-License-Identifier: Apache-2.0
//
// The waits for an item and for room, task_done(), join() and shutdown().
#include "aiofiber/queue.h"

#include <absl/strings/str_cat.h>

namespace aiofiber::detail {

// For a waiter that was cancelled: the next one gets the item or the room.
void QueueBase::pass_on(const WaitQueue::Waiter& waiter, WaitQueue& queue, bool for_room) {
  const bool possible = for_room ? !full() : size() > 0;
  if (possible && waiter.woken()) queue.pop_and_wake_next();
}

void QueueBase::wait_in(WaitQueue& queue, std::string_view type, bool for_room) {
  TaskCore& task = require_current_task();
  WaitQueue::Waiter waiter(queue, bound_.get_loop(&task, type, this));
  waiter.wait(task, [&] { pass_on(waiter, queue, for_room); });
}

Coro<void> QueueBase::wait_in_without_stack(WaitQueue& queue, std::string_view type, bool for_room) {
  WaitQueue::Waiter waiter(queue, bound_.get_loop(type, this));
  co_await waiter.wait_without_stack([&] { pass_on(waiter, queue, for_room); });
}

void QueueBase::wait_for_item(std::string_view type) {
  while (size() == 0) {
    if (is_shut_down_) throw QueueShutDown();
    wait_in(getters_, type, false);
  }
}

Coro<void> QueueBase::wait_for_item_without_stack(std::string_view type) {
  while (size() == 0) {
    if (is_shut_down_) throw QueueShutDown();
    co_await wait_in_without_stack(getters_, type, false);
  }
}

void QueueBase::wait_for_room(std::string_view type) {
  while (full()) {
    if (is_shut_down_) throw QueueShutDown();
    wait_in(putters_, type, true);
  }
}

Coro<void> QueueBase::wait_for_room_without_stack(std::string_view type) {
  while (full()) {
    if (is_shut_down_) throw QueueShutDown();
    co_await wait_in_without_stack(putters_, type, true);
  }
}

void QueueBase::refuse_put() const {
  if (is_shut_down_) throw QueueShutDown();
  throw QueueFull();
}

void QueueBase::refuse_get() const {
  if (is_shut_down_) throw QueueShutDown();
  throw QueueEmpty();
}

void QueueBase::task_done() {
  if (unfinished_tasks_ == 0) throw ValueError("task_done() called too many times");
  if (--unfinished_tasks_ == 0) finished_->set();
}

void QueueBase::join() {
  if (unfinished_tasks_ > 0) finished_->wait();
}

Coro<void> QueueBase::join_without_stack() {
  if (unfinished_tasks_ > 0) co_await EventState::wait_without_stack(finished_);
}

void QueueBase::shutdown(bool immediate) {
  is_shut_down_ = true;
  if (immediate) {
    unfinished_tasks_ -= std::min(unfinished_tasks_, size());
    drop_items();
    if (unfinished_tasks_ == 0) finished_->set();
  }
  getters_.pop_and_wake_all();
  putters_.pop_and_wake_all();
}

std::string QueueBase::format(std::string items) const {
  std::string text = absl::StrCat("maxsize=", maxsize_);
  if (size() > 0) absl::StrAppend(&text, " _queue=[", items, "]");
  if (!getters_.empty()) absl::StrAppend(&text, " _getters[", getters_.size(), "]");
  if (!putters_.empty()) absl::StrAppend(&text, " _putters[", putters_.size(), "]");
  if (unfinished_tasks_ > 0) absl::StrAppend(&text, " tasks=", unfinished_tasks_);
  if (is_shut_down_) text += " shutdown";
  return text;
}

}  // namespace aiofiber::detail
