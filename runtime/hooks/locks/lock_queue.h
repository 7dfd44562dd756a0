// SPDX-License-Identifier: Apache-2.0
//
// Tasks that wait for a lock, queued by its address.
//
// libc's lock stays the lock: a task only ever *tries* it, and parks here while it is locked. A task or plain
// thread that releases the lock calls libc's release and then wakes the first waiter, which tries again. The
// release reads the queue only while some task of the process waits: lock_waiters_exist(), one load.
//
// For a waiter W and a releaser R: W queues itself and then tries the lock once more; R releases the lock and
// then looks for waiters. Both are full barriers, so one of the two sees the other. Threads: any may wake; a
// wait belongs to the fiber that made it.
#pragma once

#include <atomic>
#include <cerrno>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/registry_abi.h"

#if AIOFIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace aiofiber::hooks {

// The hooks are compiled without ThreadSanitizer, so they tell it what is ordered: what a thread did before
// its release of `word` happens before what comes after an acquire of it that saw the release.
inline void tell_tsan_of_release([[maybe_unused]] void* word) noexcept {
#if AIOFIBER_TSAN
  __tsan_release(word);
#endif
}
inline void tell_tsan_of_acquire([[maybe_unused]] void* word) noexcept {
#if AIOFIBER_TSAN
  __tsan_acquire(word);
#endif
}

class LockWait;

namespace detail {
extern constinit std::atomic<int> lock_waiters;      // queued, in the whole process
extern constinit std::atomic<int> starving_waiters;  // those of them that want the lock handed over
}  // namespace detail

// The preceding release is ordered before this load.
inline bool lock_waiters_exist() noexcept {
  if constexpr (!runtime::arch::kReleaseIsFullBarrier) std::atomic_thread_fence(std::memory_order_seq_cst);
  return AIOFIBER_UNLIKELY(detail::lock_waiters.load(std::memory_order_seq_cst) != 0);
}

// Called once, when the hooks are loaded: makes the queues empty in a forked child.
void forget_lock_waiters_at_fork() noexcept;

// Wakes the first `count` waiters of the address; returns how many there were. Any thread.
int wake_lock_waiters(const void* address, int count) noexcept;
inline constexpr int kAllWaiters = 1 << 30;

// Hands the lock, which the caller holds, over to the first waiter for the address if that one is starving.
// True: the caller must not release it. `note` writes the new owner into the lock.
using NoteOwner = void (*)(const void* address, const runtime::Fiber& owner) noexcept;
bool hand_lock_over(const void* address, NoteOwner note) noexcept;
inline bool starving_waiters_exist() noexcept {
  return AIOFIBER_UNLIKELY(detail::starving_waiters.load(std::memory_order_relaxed) != 0);
}

// What the registry shows for the wait: a kind, and the address of the owner (see registry_abi.h).
struct ShownWait {
  std::uint32_t kind = AIOFIBER_WAIT_LOCK;
  std::uint64_t owner = 0;
  runtime::WholeWait whole = {};
  bool has_address = true;  // false: the address of the queue is not the lock's and is not shown
};

// One wait of the current task. Lifetime: a local; its destructor leaves the queue.
class LockWait : private runtime::Runnable {
 public:
  enum class Place { kLast, kFirst };
  // Queues the task. `starving`: other tasks or threads took the lock before it too often.
  explicit LockWait(const void* address, const ShownWait& shown, Place place = Place::kLast,
                    bool starving = false) noexcept;
  ~LockWait() { withdraw(); }
  LockWait(const LockWait&) = delete;
  LockWait& operator=(const LockWait&) = delete;

  // Suspends until woken or until the deadline (the loop's clock). A cancellation ends the wait only if
  // `can_cancel`. kInterrupted also while the loop closes.
  runtime::Wake sleep(runtime::Nanoseconds deadline, bool can_cancel);
  // Leaves the queue. False: it was woken, so the lock may be free and no other waiter was woken.
  bool withdraw() noexcept;
  // After withdraw() returned false: the lock belongs to this task already.
  bool has_lock() const noexcept { return has_lock_; }

 private:
  friend class LockBucket;
  void deliver() noexcept;  // after it left the queue: wakes its fiber
  void arrive() noexcept;

  const void* const address_;
  const runtime::Fiber& fiber_;
  runtime::Scheduler& scheduler_;
  runtime::Parker* parker_ = nullptr;
  LockWait* next_ = nullptr;  // guarded by the bucket, like the next two
  bool queued_ = true;
  bool has_lock_ = false;
  const bool starving_;
  const ShownWait shown_;
  bool arrived_ = false;  // the fiber's thread only
  friend int wake_lock_waiters(const void*, int) noexcept;
  friend bool hand_lock_over(const void*, NoteOwner) noexcept;
};

// wait_for_lock() cannot wait (the loop is closing): the caller has to block its thread.
inline constexpr int kMustBlock = -1;

// Calls attempt() until it returns anything but EBUSY, and parks in between. Returns that result, or
// ETIMEDOUT, ECANCELED (only if `can_cancel`), EINTR (an alarm, only inside AlarmEndsWait), kMustBlock.
// `shared`: another process may release the lock, so try at intervals too.
template <class Attempt>
int wait_for_lock(const void* address, const ShownWait& shown, runtime::Nanoseconds deadline, bool can_cancel,
                  bool shared, Attempt attempt) {
  constexpr runtime::Nanoseconds kLookInterval = 10'000'000;
  ShownWait whole = shown;
  whole.whole = {runtime::current_fiber()->scheduler->last_poll(), deadline};
  for (;;) {
    LockWait wait(address, whole);
    const int result = attempt();
    if (result != EBUSY) {
      if (!wait.withdraw()) wake_lock_waiters(address, 1);  // the wake was meant for another waiter
      return result;
    }
    runtime::Nanoseconds until = deadline;
    const runtime::Nanoseconds now = runtime::current_fiber()->scheduler->now();
    if (shared && until > now + kLookInterval) until = now + kLookInterval;
    const runtime::Wake reason = wait.sleep(until, can_cancel);
    if (!wait.withdraw()) continue;
    if (reason == runtime::Wake::kInterrupted)
      return runtime::current_fiber()->unwinding ? kMustBlock : ECANCELED;
    if (reason == runtime::Wake::kAlarm) return EINTR;
    if (reason == runtime::Wake::kTimedOut && until == deadline) return ETIMEDOUT;
  }
}

}  // namespace aiofiber::hooks
