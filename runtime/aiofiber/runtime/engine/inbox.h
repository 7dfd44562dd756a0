// SPDX-License-Identifier: Apache-2.0
//
// Inbox: a multi-producer, single-consumer queue of Runnables that other threads hand to a loop.
//
// Producers push onto a lock-free stack. The loop takes the whole stack in one exchange and reverses it, so
// the order of each producer is kept. For any threads X and Y, if X calls push() and Y's take() returns that
// node, everything X did before push() happens before what Y does after take().
// Before the loop sleeps, it puts a mark into the empty inbox. Only the producer that replaces the mark must
// wake the loop, so a batch costs at most one wake-up, and posts to a loop that is awake cost none.
// push() is async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/runnable.h"

namespace aiofiber::runtime {

class Inbox {
 public:
  // Any thread. If the loop may be asleep, calls at_sleeper(true) before the push, because the loop can end
  // as soon as it has the node. Returns true if the caller must then wake the loop. at_sleeper(false) follows
  // if another producer was faster.
  template <class AtSleeper>
  bool push(Runnable& node, AtSleeper at_sleeper) noexcept {
    std::uintptr_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      const bool sleeps = head == kSleeping;
      node.next = sleeps ? nullptr : reinterpret_cast<Runnable*>(head);
      if (sleeps) at_sleeper(true);
      if (head_.compare_exchange_weak(head, reinterpret_cast<std::uintptr_t>(&node),
                                      std::memory_order_release, std::memory_order_relaxed))
        return sleeps;
      if (sleeps) at_sleeper(false);
    }
  }
  bool empty() const noexcept { return head_.load(std::memory_order_acquire) <= kSleeping; }

  // The loop's thread. Puts the mark into the inbox. False: there are nodes, so the loop must not sleep.
  bool try_sleep() noexcept {
    std::uintptr_t head = 0;
    return head_.compare_exchange_strong(head, kSleeping, std::memory_order_relaxed) || head == kSleeping;
  }
  // The loop's thread. Returns all nodes pushed so far, oldest first, linked by `next`; null if none. Removes
  // the mark.
  Runnable* take() noexcept {
    if (head_.load(std::memory_order_relaxed) == 0) return nullptr;
    const std::uintptr_t head = head_.exchange(0, std::memory_order_acquire);
    auto* newest = head == kSleeping ? nullptr : reinterpret_cast<Runnable*>(head);
    Runnable* oldest = nullptr;
    while (newest != nullptr) {
      // The rest of the object is used soon, and comes from another processor, too.
      __builtin_prefetch(reinterpret_cast<char*>(newest) + kCacheLineBytes);
      Runnable* following = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = following;
    }
    return oldest;
  }

 private:
  static constexpr std::uintptr_t kSleeping = 1;
  // 0: empty. kSleeping: empty, and the loop sleeps or is about to. Else the address of the newest node.
  std::atomic<std::uintptr_t> head_{0};
};

}  // namespace aiofiber::runtime
