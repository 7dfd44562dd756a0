// SPDX-License-Identifier: Apache-2.0
//
// The loop check, repr(), and the queue: joining, waking and leaving.
#include "aiofiber/wait_queue.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "aiofiber/runtime/engine/assert.h"

namespace aiofiber::detail {

EventLoop& LoopBound::get_loop(std::string_view type, const void* object) {
  EventLoop& running = get_running_loop();
  if (!loop_) loop_ = runtime::Ref<LoopCore>(&running.core());
  if (loop_.get() != &running.core()) {
    throw RuntimeError(lock_repr(type, object, "", 0) + " is bound to a different event loop");
  }
  return running;
}

std::string lock_repr(std::string_view type, const void* object, std::string extra, std::size_t waiters) {
  if (waiters > 0) absl::StrAppend(&extra, ", waiters:", waiters);
  std::string text = absl::StrFormat("<asyncio.locks.%s object at %p", type, object);
  if (!extra.empty()) absl::StrAppend(&text, " [", extra, "]");
  return text + ">";
}

void WaitQueue::join(Waiter& waiter) noexcept {
  list_.push_back(waiter);
  ++size_;
  if (maybe_pending_ == nullptr) maybe_pending_ = &waiter;
  if (maybe_alive_ == nullptr) maybe_alive_ = &waiter;
}

void WaitQueue::remove(Waiter& waiter) noexcept {
  if (maybe_pending_ == &waiter) maybe_pending_ = list_.after(waiter);
  if (maybe_alive_ == &waiter) maybe_alive_ = list_.after(waiter);
  if (waiter.woken_link_.linked()) waiter.woken_link_.unlink();
  waiter.unlink();
  --size_;
}

void WaitQueue::Waiter::wait_again() {
  AIOFIBER_ASSERT(linked() && woken());
  future = queue_.new_future(future.state().loop());
  in_vain_ = false;
  if (woken_link_.linked()) woken_link_.unlink();
  Waiter*& cursor = queue_.maybe_pending_;
  if (cursor == nullptr || place_ < cursor->place_) cursor = this;
}

bool WaitQueue::all_cancelled() const {
  for (; maybe_alive_ != nullptr; maybe_alive_ = list_.after(*maybe_alive_)) {
    ++steps_;
    if (!maybe_alive_->future.cancelled()) return false;
  }
  return true;
}

void WaitQueue::wake_front() {
  Waiter* first = list_.front();
  if (first != nullptr && !first->future.done()) first->future.set_result();
}

bool WaitQueue::wake_next() {
  while (Waiter* const waiter = maybe_pending_) {
    ++steps_;
    maybe_pending_ = list_.after(*waiter);
    if (waiter->future.done()) continue;
    waiter->future.set_result();
    woken_.push_back(waiter->woken_link_);
    return true;
  }
  return false;
}

bool WaitQueue::take_back() noexcept {
  Waiter::WokenLink* const link = woken_.pop_front();
  if (link == nullptr) return false;
  link->waiter->in_vain_ = true;
  return true;
}

void WaitQueue::pop_and_wake_next() {
  while (Waiter* waiter = list_.front()) {
    waiter->leave();
    if (waiter->future.done()) continue;
    waiter->future.set_result();
    return;
  }
}

void WaitQueue::pop_and_wake_all() {
  while (!empty()) pop_and_wake_next();
}

void WaitQueue::wake(std::size_t limit) {
  for (; limit > 0 && wake_next(); --limit) {
  }
}

void WaitQueue::add_awaiting(std::vector<FutureBase*>& out) const {
  for (const Waiter* waiter = list_.front(); waiter != nullptr; waiter = list_.after(*waiter)) {
    waiter->future.state().add_awaiting(out);
  }
}

}  // namespace aiofiber::detail
