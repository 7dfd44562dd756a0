// SPDX-License-Identifier: Apache-2.0
//
// Inbox: a multi-producer, single-consumer queue of Runnables that other threads hand to a loop.
//
// Producers push onto a lock-free stack. The loop takes the whole stack in one exchange and reverses it, so
// the order of each producer is kept. For any threads X and Y, if X calls push() and Y's take() returns that
// node, everything X did before push() happens before what Y does after take().
// push() is async-signal-safe.
#pragma once

#include <atomic>

#include "aiofiber/runtime/engine/runnable.h"

namespace aiofiber::runtime {

class Inbox {
 public:
  // Any thread. True when the inbox was empty, in which case the caller must wake the loop.
  bool push(Runnable& node) noexcept {
    Runnable* head = head_.load(std::memory_order_relaxed);
    do {
      node.next = head;
    } while (!head_.compare_exchange_weak(head, &node, std::memory_order_release, std::memory_order_relaxed));
    return head == nullptr;
  }
  bool empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }

  // The loop's thread. Returns all nodes pushed so far, oldest first, linked by `next`; null if none.
  Runnable* take() noexcept {
    Runnable* newest = head_.exchange(nullptr, std::memory_order_acquire);
    Runnable* oldest = nullptr;
    while (newest != nullptr) {
      Runnable* following = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = following;
    }
    return oldest;
  }

 private:
  std::atomic<Runnable*> head_{nullptr};
};

}  // namespace aiofiber::runtime
