// SPDX-License-Identifier: Apache-2.0
//
// The loop check, repr(), and the queue: waking, and waiting again.
#include "aiofiber/wait_queue.h"

#include <absl/strings/str_cat.h>

#include "aiofiber/runtime/engine/assert.h"

namespace aiofiber::detail {

LoopCore& LoopBound::bind(std::string_view type, const void* object) {
  LoopCore& running = get_running_loop().core();
  if (!loop_) loop_ = runtime::Ref<LoopCore>(&running);
  if (loop_.get() != &running) {
    throw RuntimeError(lock_repr(type, object, "", 0) + " is bound to a different event loop");
  }
  return running;
}

std::string lock_repr(std::string_view type, const void* object, std::string extra, std::size_t waiters) {
  if (waiters > 0) absl::StrAppend(&extra, ", waiters:", waiters);
  std::string text = absl::StrCat("<asyncio.locks.", std::string(type), " object at 0x", absl::Hex(object));
  if (!extra.empty()) absl::StrAppend(&text, " [", extra, "]");
  return text + ">";
}

void WaitQueue::Waiter::wait_again() noexcept {
  AIOFIBER_ASSERT(linked() && woken());
  future_.reopen();
  in_vain_ = false;
  if (woken_link_.linked()) woken_link_.unlink();
  Waiter*& cursor = queue_.maybe_pending_;
  if (cursor == nullptr || place_ < cursor->place_) cursor = this;
}

bool WaitQueue::find_no_alive() const {
  for (; maybe_alive_ != nullptr; maybe_alive_ = list_.after(*maybe_alive_)) {
    ++steps_;
    if (!maybe_alive_->future_.cancelled()) return false;
  }
  return true;
}

void WaitQueue::wake_front() {
  Waiter* first = list_.front();
  if (first != nullptr && !first->future_.done()) first->future_.finish();
}

bool WaitQueue::wake_next() {
  while (Waiter* const waiter = maybe_pending_) {
    ++steps_;
    maybe_pending_ = list_.after(*waiter);
    if (waiter->future_.done()) continue;
    waiter->future_.finish();
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
    if (waiter->future_.done()) continue;
    waiter->future_.finish();
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
    waiter->future_.add_awaiting(out);
  }
}

}  // namespace aiofiber::detail
