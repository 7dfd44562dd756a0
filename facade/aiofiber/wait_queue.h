// SPDX-License-Identifier: Apache-2.0
//
// The common part of locks and queues: a FIFO of waiting tasks, and state that outlives its handle.
//
// Each wait is a node with a future in it, on the waiting task's stack or in its coroutine's frame, so a wait
// allocates nothing. Each object has its waits in two forms, on a stack and as a Coro. The state of a lock is
// counted, and every waiter holds a reference. A lock in a local variable may therefore die before its
// waiters, for example when a closing loop unwinds them. Not for users. Threads: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/coro.h"
#include "aiofiber/future.h"
#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

// A base class with a reference count for runtime::Ref. T is the most derived class and has no members with
// these names.
template <class T>
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete static_cast<T*>(this);
  }

 protected:
  ~Counted() = default;

 private:
  std::uint32_t references_ = 0;
};

// Binds a lock to the loop of its first contended use.
class LoopBound {
 public:
  // The running loop. RuntimeError "<...> is bound to a different event loop"; RuntimeError: no loop runs.
  LoopCore& get_loop(std::string_view type, const void* object) {
    return get_loop(current_task_core(), type, object);
  }
  // The same if the current task is known; null: there is none.
  LoopCore& get_loop(const TaskCore* task, std::string_view type, const void* object) {
    if (AIOFIBER_LIKELY(task != nullptr && &task->loop() == loop_.get() && !task->fiber()->unwinding))
      return *loop_;
    return bind(type, object);
  }

 private:
  LoopCore& bind(std::string_view type, const void* object);

  runtime::Ref<LoopCore> loop_;
};

// `<asyncio.locks.NAME object at 0x... [EXTRA]>`, with `, waiters:N` in it when there are any.
std::string lock_repr(std::string_view type, const void* object, std::string extra, std::size_t waiters);

// Waiters keep their order of arrival until they run and leave. Those in front are mostly done already. Two
// cursors remember how much of the front is done, so that n wake-ups in a row cost n steps.
class WaitQueue {
  // The future of a wait, a part of its waiter. Only the waiting task refers to it, while it waits, so no
  // reference is the last one. Debuggers show the lock or queue.
  class WaitFuture final : public FutureState<void> {
   public:
    WaitFuture(LoopCore& loop, const WaitQueue& queue) : FutureState<void>(loop), queue_(queue) {
      wait_kind = static_cast<std::uint8_t>(queue.kind_);
      retain();
    }
    ~WaitFuture() override { AIOFIBER_ASSERT(references() == 1); }
    const void* wait_object() const noexcept override { return queue_.object_; }
    const std::uint64_t* wait_owner() const noexcept override { return queue_.owner_; }
    using FutureBase::reopen;

   private:
    const WaitQueue& queue_;
  };

 public:
  // One wait; this object is on the waiting task's stack, or in its coroutine's frame.
  class Waiter : public runtime::ListNode {
   public:
    Waiter(WaitQueue& queue, LoopCore& loop)
        : queue_(queue), place_(++queue.last_place_), future_(loop, queue) {
      woken_link_.waiter = this;
      queue_.join(*this);
    }
    ~Waiter() { leave(); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    // Suspends the current task until it is woken. CancelledError.
    AIOFIBER_ALWAYS_INLINE void wait(TaskCore& task) {
      if (!future_.done()) task.wait_for_future(future_);
      outcome();
    }
    // The same. If cancelled, it leaves the queue, calls `pass_on`, and rethrows CancelledError. `pass_on`
    // gives the unused wake-up to the next waiter. Inlined into a function without handlers of its own
    // (runtime::PassesOn).
    template <class PassOn>
    AIOFIBER_ALWAYS_INLINE void wait(TaskCore& task, PassOn pass_on) {
      try {
        wait(task);
      } catch (const runtime::PassesOn&) {
        throw;
      } catch (const CancelledError&) {
        leave();
        pass_on();
        throw;
      }
    }
    // The same for a coroutine: co_await waiter.woken_up().
    WaitAwaiter<Waiter> woken_up() noexcept { return WaitAwaiter<Waiter>(*this); }
    template <class PassOn>
    Coro<void> wait_without_stack(PassOn pass_on) {
      try {
        co_await woken_up();
      } catch (const CancelledError&) {
        leave();
        pass_on();
        throw;
      }
    }
    // Leaves the queue if it is still in it.
    void leave() noexcept {
      if (linked()) queue_.remove(*this);
    }
    // After a wake-up in vain: waits again at the same place.
    void wait_again() noexcept;
    // True if it was woken, whatever happened to the task since.
    bool woken() const noexcept { return future_.done() && !future_.cancelled(); }
    // True if take_back() gave the reason of its wake-up to another task.
    bool in_vain() const noexcept { return in_vain_; }

   private:
    friend class WaitQueue;
    friend class WaitAwaiter<Waiter>;
    FutureBase& future_of_wait() noexcept { return future_; }
    void outcome() {
      if (AIOFIBER_UNLIKELY(!woken())) future_.check_result();
    }
    struct WokenLink : runtime::ListNode {
      Waiter* waiter = nullptr;
    };
    WaitQueue& queue_;
    WokenLink woken_link_;  // in the queue's list of woken waiters
    std::uint64_t place_;   // grows from the front to the back
    bool in_vain_ = false;
    WaitFuture future_;
  };

  // What debuggers show for a wait here: the kind, the lock or queue that owns this object, and, for a lock,
  // the address of the id of the fiber that holds it.
  WaitQueue(enum aiofiber_wait kind, const void* object, const std::uint64_t* owner = nullptr) noexcept
      : kind_(kind), object_(object), owner_(owner) {}

  // For an object that uses the queue of another as its own.
  void show_as(enum aiofiber_wait kind, const void* object) noexcept {
    kind_ = kind;
    object_ = object;
  }

  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  // Whether all waiters in the queue were cancelled and have not yet run to leave it.
  bool all_cancelled() const { return maybe_alive_ == nullptr || find_no_alive(); }

  // Wakes the first waiter unless it is woken already.
  void wake_front();
  // Wakes the first waiter that is not woken yet; false if there is none.
  bool wake_next();
  // Finds the first waiter that wake_next() woke and that has not run since, and makes its wake-up vain;
  // false if there is none.
  bool take_back() noexcept;
  // As wake_next(), but removes the waiters that it looks at from the queue.
  void pop_and_wake_next();
  void pop_and_wake_all();
  // Wakes at most `limit` waiters that are not woken yet, in FIFO order.
  void wake(std::size_t limit);

  // For debuggers: appends the tasks that wait here.
  void add_awaiting(std::vector<FutureBase*>& out) const;
  // The total number of waiters that the calls above have looked at; for tests of their cost.
  std::uint64_t steps() const noexcept { return steps_; }

 private:
  bool find_no_alive() const;
  void join(Waiter& waiter) noexcept {
    list_.push_back(waiter);
    ++size_;
    if (maybe_pending_ == nullptr) maybe_pending_ = &waiter;
    if (maybe_alive_ == nullptr) maybe_alive_ = &waiter;
  }
  void remove(Waiter& waiter) noexcept {
    if (maybe_pending_ == &waiter) maybe_pending_ = list_.after(waiter);
    if (maybe_alive_ == &waiter) maybe_alive_ = list_.after(waiter);
    if (waiter.woken_link_.linked()) waiter.woken_link_.unlink();
    waiter.unlink();
    --size_;
  }

  runtime::List<Waiter> list_;
  runtime::List<Waiter::WokenLink> woken_;  // by wake_next(), in order
  std::uint64_t last_place_ = 0;
  std::size_t size_ = 0;
  Waiter* maybe_pending_ = nullptr;              // all before it are done; null: all
  mutable const Waiter* maybe_alive_ = nullptr;  // all before it are cancelled; null: all
  mutable std::uint64_t steps_ = 0;
  enum aiofiber_wait kind_;
  const void* object_;
  const std::uint64_t* owner_;
};

}  // namespace aiofiber::detail
