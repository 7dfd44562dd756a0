// SPDX-License-Identifier: Apache-2.0
//
// What the locks and queues are built of: a FIFO of waiting tasks, and the state that outlives its handle.
//
// Each wait is a Future<void> in a list node on the waiting task's stack, so waiting allocates nothing but
// the future. The state of a lock is counted and held by everybody who waits: a lock that is a local
// variable may die before its waiters do, as when a closing loop unwinds them.
// Not for users. Threads: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::detail {

// A base with a reference count for runtime::Ref; T is the most derived class and has no members of these
// names.
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

// Ties a lock to the loop of its first contended use.
class LoopBound {
 public:
  // The running loop. RuntimeError "<...> is bound to a different event loop"; RuntimeError: none runs.
  EventLoop& get_loop(std::string_view type, const void* object);

 private:
  runtime::Ref<LoopCore> loop_;
};

// `<asyncio.locks.NAME object at 0x... [EXTRA]>`, with `, waiters:N` in it when there are any.
std::string lock_repr(std::string_view type, const void* object, std::string extra, std::size_t waiters);

// Waiters stand in the order in which they came, until they run and leave; those in front are mostly done
// already. So that n wakes in a row cost n steps, two cursors remember how far the front is known to be done.
class WaitQueue {
 public:
  // One wait; lives on the waiter's stack.
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
    // Suspends until it is woken. Cancelled, it leaves the queue and calls `pass_on`, which gives what it was
    // woken for, and will not use, to the next one; then CancelledError goes on. Inlined into a function
    // without handlers of its own (runtime::PassesOn).
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
    // Leaves the queue if it is still in it.
    void leave() noexcept {
      if (linked()) queue_.remove(*this);
    }
    // Woken in vain: waits again at the same place. Throws std::bad_alloc.
    void wait_again();
    // Woken by somebody, whatever became of the task since.
    bool woken() const { return future.done() && !future.cancelled(); }
    // What it was woken for was given to somebody else by take_back().
    bool in_vain() const noexcept { return in_vain_; }

    Future<void> future;

   private:
    friend class WaitQueue;
    struct WokenLink : runtime::ListNode {
      Waiter* waiter = nullptr;
    };
    WaitQueue& queue_;
    WokenLink woken_link_;  // in the queue's list of the woken
    std::uint64_t place_;   // grows from the front to the back
    bool in_vain_ = false;
  };

  // What is waited for here, as debuggers are told: a kind, the lock or queue that this belongs to, and, of a
  // lock, where the id of the fiber is that has it.
  WaitQueue(aiofiber_wait kind, const void* object, const std::uint64_t* owner = nullptr) noexcept
      : kind_(kind), object_(object), owner_(owner) {}

  // What uses another's queue as its own says so.
  void show_as(aiofiber_wait kind, const void* object) noexcept {
    kind_ = kind;
    object_ = object;
  }

  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  // Whether all who are in the queue were cancelled and have not yet run to leave it.
  bool all_cancelled() const;

  // Wakes the first waiter unless that was done already.
  void wake_front();
  // Wakes the first who is not woken yet; false if there is none.
  bool wake_next();
  // Of those whom wake_next() woke and who have not run since, makes the first one's wake-up vain; false if
  // there is none.
  bool take_back() noexcept;
  // As wake_next(), taking those it looks at out of the queue.
  void pop_and_wake_next();
  void pop_and_wake_all();
  // Wakes at most `limit` who are not woken yet, in FIFO order.
  void wake(std::size_t limit);

  // For debuggers: appends the tasks that wait here.
  void add_awaiting(std::vector<FutureBase*>& out) const;
  // How many waiters the calls above have looked at, ever: for tests of their cost.
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
  aiofiber_wait kind_;
  const void* object_;
  const std::uint64_t* owner_;
};

}  // namespace aiofiber::detail
