// SPDX-License-Identifier: Apache-2.0
//
// See the header.
#include "aiofiber/wait_queue.h"

#include <cstdio>

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
  char address[32];
  std::snprintf(address, sizeof address, "%p", object);
  std::string text = "<asyncio.locks." + std::string(type) + " object at " + address;
  if (waiters > 0) extra += ", waiters:" + std::to_string(waiters);
  if (!extra.empty()) text += " [" + extra + "]";
  return text + ">";
}

bool WaitQueue::all_cancelled() const {
  for (const Waiter* waiter = list_.front(); waiter != nullptr; waiter = list_.after(*waiter)) {
    if (!waiter->future.cancelled()) return false;
  }
  return true;
}

void WaitQueue::wake_front() {
  Waiter* first = list_.front();
  if (first != nullptr && !first->future.done()) first->future.set_result();
}

bool WaitQueue::wake_next() {
  for (Waiter* waiter = list_.front(); waiter != nullptr; waiter = list_.after(*waiter)) {
    if (waiter->future.done()) continue;
    waiter->future.set_result();
    return true;
  }
  return false;
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

}  // namespace aiofiber::detail
