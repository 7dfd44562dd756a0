// SPDX-License-Identifier: Apache-2.0
//
// The common part of locks and queues: a FIFO of waiting tasks, and state that outlives its handle.
//
// Each wait is a Future<void> in a list node on the waiting task's stack, so a wait allocates only the
// future. Each object has its waits in two forms, on a stack and as a Coro. The state of a lock is counted,
// and every waiter holds a reference. A lock in a local variable may therefore die before its waiters, for
// example when a closing loop unwinds them. Not for users. Threads: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/coro.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/runtime/inspect/unwind.h"

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
  EventLoop& get_loop(std::string_view type, const void* object);

 private:
  runtime::Ref<LoopCore> loop_;
};

// `<asyncio.locks.NAME object at 0x... [EXTRA]>`, with `, waiters:N` in it when there are any.
std::string lock_repr(std::string_view type, const void* object, std::string extra, std::size_t waiters);

// Waiters keep their order of arrival until they run and leave. Those in front are mostly done already. Two
// cursors remember how much of the front is done, so that n wake-ups in a row cost n steps.
class WaitQueue {
 public:
  // One wait; this object is on the waiting task's stack, or in its coroutine's frame.
  class Waiter : public runtime::ListNode {
   public:
    Waiter(WaitQueue& queue, EventLoop& loop)
        : future(queue.new_future(loop.core())), queue_(queue), place_(++queue.last_place_) {
      woken_link_.waiter = this;
      queue_.join(*this);
    }
    ~Waiter() { leave(); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    // Suspends until it is woken. If cancelled, it leaves the queue, calls `pass_on`, and rethrows
    // CancelledError. `pass_on` gives the unused wake-up to the next waiter. Inlined into a function without
    // handlers of its own (runtime::PassesOn).
    template <class PassOn>
    AIOFIBER_ALWAYS_INLINE void wait(PassOn pass_on) {
      try {
        await(future);
      } catch (const runtime::PassesOn&) {
        throw;
      } catch (const CancelledError&) {
        leave();
        pass_on();
        throw;
      }
    }
    // The same for a coroutine.
    template <class PassOn>
    Coro<void> wait_without_stack(PassOn pass_on) {
      try {
        co_await future;
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
    // After a wake-up in vain: waits again at the same place. Throws std::bad_alloc.
    void wait_again();
    // True if it was woken, whatever happened to the task since.
    bool woken() const { return future.done() && !future.cancelled(); }
    // True if take_back() gave the reason of its wake-up to another task.
    bool in_vain() const noexcept { return in_vain_; }

    Future<void> future;

   private:
    friend class WaitQueue;
    struct WokenLink : runtime::ListNode {
      Waiter* waiter = nullptr;
    };
    WaitQueue& queue_;
    WokenLink woken_link_;  // in the queue's list of woken waiters
    std::uint64_t place_;   // grows from the front to the back
    bool in_vain_ = false;
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
  bool all_cancelled() const;

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
  Future<void> new_future(LoopCore& loop) const {
    return Future<void>(runtime::Ref<FutureState<void>>(new ObjectFuture(loop, kind_, object_, owner_)));
  }
  void join(Waiter& waiter) noexcept;
  void remove(Waiter& waiter) noexcept;

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
