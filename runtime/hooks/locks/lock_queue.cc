// SPDX-License-Identifier: Apache-2.0
//
// The buckets, and how a wake reaches a fiber of another thread.
//
// A bucket's spinlock is held for a few instructions. A signal handler that interrupts them may call
// sem_post(). It finds the lock held by its own thread and sets a flag; at release the holder then wakes all
// waiters in the bucket. An unneeded wake is harmless.
#include "hooks/locks/lock_queue.h"

#include <sched.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "aiofiber/runtime/engine/at_fork.h"
#include "hooks/core/act.h"
#include "hooks/core/real.h"
#include "hooks/core/signals.h"

namespace aiofiber::hooks {

namespace detail {
constinit std::atomic<int> lock_waiters{0};
constinit std::atomic<int> starving_waiters{0};
}  // namespace detail

namespace {
// Its address names the thread.
constinit thread_local char this_thread __attribute__((tls_model("initial-exec"))) = 0;
}  // namespace

class LockBucket {
 public:
  static LockBucket& of(const void* address) noexcept {
    const auto hash = (reinterpret_cast<std::uintptr_t>(address) >> 3) * std::uint64_t{0x9E3779B97F4A7C15};
    return buckets[hash >> 54];
  }

  class Guard {
   public:
    explicit Guard(LockBucket& bucket) noexcept : bucket_(bucket), held_(bucket.enter()) {}
    ~Guard() {
      if (held_) bucket_.leave();
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    bool held() const noexcept { return held_; }

   private:
    LockBucket& bucket_;
    const bool held_;
  };

  void insert(LockWait& wait, LockWait::Place place) noexcept {
    LockWait** link = &first_;
    if (place == LockWait::Place::kLast) {
      while (*link != nullptr) link = &(*link)->next_;
    }
    wait.next_ = *link;
    *link = &wait;
    detail::lock_waiters.fetch_add(1, std::memory_order_seq_cst);
    if (wait.starving_) detail::starving_waiters.fetch_add(1, std::memory_order_relaxed);
  }
  // Removes the first waiter for the address; null: there is none.
  LockWait* take(const void* address, bool only_starving) noexcept {
    for (LockWait** link = &first_; *link != nullptr; link = &(*link)->next_) {
      if ((*link)->address_ != address) continue;
      return only_starving && !(*link)->starving_ ? nullptr : &remove(link);
    }
    return nullptr;
  }
  void remove(LockWait& wait) noexcept {
    LockWait** link = &first_;
    while (*link != &wait) link = &(*link)->next_;
    remove(link);
  }

  // In a forked child: the queued tasks are the parent's, so a lock handed over to one would never be
  // released. The thread that held a bucket does not exist in the child.
  static void forget_after_fork() noexcept {
    for (LockBucket& bucket : buckets) {
      bucket.first_ = nullptr;
      bucket.missed_.store(false, std::memory_order_relaxed);
      bucket.holder_.store(nullptr, std::memory_order_relaxed);
    }
    detail::lock_waiters.store(0, std::memory_order_relaxed);
    detail::starving_waiters.store(0, std::memory_order_relaxed);
  }

 private:
  LockWait& remove(LockWait** link) noexcept {
    LockWait& wait = **link;
    *link = wait.next_;
    wait.queued_ = false;
    detail::lock_waiters.fetch_sub(1, std::memory_order_relaxed);
    if (wait.starving_) detail::starving_waiters.fetch_sub(1, std::memory_order_relaxed);
    return wait;
  }
  // False: a signal handler has interrupted the holder; the flag is set for it.
  bool enter() noexcept {
    const void* free = nullptr;
    while (!holder_.compare_exchange_weak(free, &this_thread, std::memory_order_acquire)) {
      if (free == &this_thread) {
        missed_.store(true, std::memory_order_relaxed);
        return false;
      }
      free = nullptr;
      real::sched_yield();
    }
    tell_tsan_of_acquire(&holder_);
    return true;
  }
  void leave() noexcept {
    LockWait* woken = nullptr;
    if (AIOFIBER_UNLIKELY(missed_.exchange(false, std::memory_order_relaxed))) {
      woken = first_;
      while (first_ != nullptr) remove(&first_);
    }
    tell_tsan_of_release(&holder_);
    holder_.store(nullptr, std::memory_order_release);
    while (woken != nullptr) std::exchange(woken, woken->next_)->deliver();
  }

  std::atomic<const void*> holder_{nullptr};
  std::atomic<bool> missed_{false};
  LockWait* first_ = nullptr;

  static LockBucket buckets[1024];
};

constinit LockBucket LockBucket::buckets[1024];

namespace {
constinit runtime::ForkHandler forget_waiters{runtime::ForkStep::kLocks,
                                              {.child = &LockBucket::forget_after_fork}};
}  // namespace

void forget_lock_waiters_at_fork() noexcept { runtime::at_fork(forget_waiters); }

int wake_lock_waiters(const void* address, int count) noexcept {
  LockWait* woken = nullptr;
  LockWait** end = &woken;
  int taken = 0;
  LockBucket& bucket = LockBucket::of(address);
  {
    const LockBucket::Guard guard(bucket);
    if (!guard.held()) return 0;
    for (LockWait* wait; taken < count && (wait = bucket.take(address, false)) != nullptr; ++taken) {
      wait->next_ = nullptr;
      *end = wait;
      end = &wait->next_;
    }
  }
  // All of them still exist: a fiber leaves only after its wait has arrived.
  while (woken != nullptr) std::exchange(woken, woken->next_)->deliver();
  return taken;
}

bool hand_lock_over(const void* address, NoteOwner note) noexcept {
  LockWait* wait = nullptr;
  LockBucket& bucket = LockBucket::of(address);
  {
    const LockBucket::Guard guard(bucket);
    if (!guard.held() || (wait = bucket.take(address, true)) == nullptr) return false;
    wait->has_lock_ = true;
  }
  note(address, wait->fiber_);
  wait->deliver();
  return true;
}

LockWait::LockWait(const void* address, const ShownWait& shown, Place place, bool starving) noexcept
    : Runnable(Kind::kInternal, [](Runnable& node) { static_cast<LockWait&>(node).arrive(); }),
      address_(address),
      fiber_(*runtime::current_fiber()),
      scheduler_(*fiber_.scheduler),
      starving_(starving),
      shown_(shown) {
  LockBucket& bucket = LockBucket::of(address);
  const LockBucket::Guard guard(bucket);
  bucket.insert(*this, place);
}

void LockWait::arrive() noexcept {
  arrived_ = true;
  if (parker_ != nullptr) parker_->unpark();
}

void LockWait::deliver() noexcept {
  if (runtime::Scheduler::current() == &scheduler_ && !in_signal_handler()) {
    arrive();
  } else {
    scheduler_.post(*this);
  }
}

bool LockWait::withdraw() noexcept {
  {
    LockBucket& bucket = LockBucket::of(address_);
    const LockBucket::Guard guard(bucket);
    if (queued_) {
      bucket.remove(*this);
      return arrived_ = true;
    }
  }
  while (!arrived_) {  // a thread has posted this node, or is about to
    if (runtime::current_fiber()->unwinding) {
      scheduler_.settle();
    } else {
      sleep(runtime::kForever, false);
    }
  }
  return false;
}

runtime::Wake LockWait::sleep(runtime::Nanoseconds deadline, bool can_cancel) {
  runtime::Fiber& fiber = *runtime::current_fiber();
  bool cancelled = false;
  runtime::Wake reason = runtime::Wake::kUnparked;
  const runtime::WholeWait whole =
      shown_.whole.since != 0 ? shown_.whole : runtime::WholeWait{scheduler_.last_poll(), deadline};
  while (!arrived_) {
    if (!can_cancel) cancelled |= fiber.take_interrupted();
    bool slept = without_throwing([&] {
      runtime::Parker parker;
      parker_ = &parker;
      if (shown_.kind == AIOFIBER_WAIT_LOCK) fiber.wait_owner = shown_.owner;
      const auto shown_address = shown_.has_address ? reinterpret_cast<std::uintptr_t>(address_) : 0;
      reason = parker.park(shown_.kind, shown_address, deadline, whole);
    });
    parker_ = nullptr;
    if (!slept) {  // no memory for a timer: try again in the next turn
      give_turn();
      reason = runtime::Wake::kUnparked;
      break;
    }
    if (reason == runtime::Wake::kInterrupted && !can_cancel && !fiber.unwinding) continue;
    break;
  }
  if (cancelled) fiber.interrupted = true;
  if (reason != runtime::Wake::kInterrupted) calls_since_turn = 0;
  return arrived_ ? runtime::Wake::kUnparked : reason;
}

}  // namespace aiofiber::hooks
