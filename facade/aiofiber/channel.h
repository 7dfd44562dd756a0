// SPDX-License-Identifier: Apache-2.0
//
// Channel<T>: a bounded queue between the tasks of several loops, and other threads.
//
// The names and laws are those of asyncio.Queue, with shutdown() of 3.13. A handle is cheap; copies refer to
// the same channel. A mutex guards the items for a few instructions, and no task suspends with it. A put
// wakes at most one getter and a get at most one putter, in the order in which they began to wait. The woken
// task checks again, because another loop may have been faster; then it waits again at its old place. A task
// that is cancelled, or whose loop closes, passes its wake-up on, so no item is lost.
// A wake-up is a node in the other loop's inbox: only a loop that sleeps costs a system call, once a batch.
// Threads: any. Items are destroyed on the thread that takes or drops them. asyncio has no such class.
//
//     asyncio::Channel<int> channel(2);
//     asyncio::await(channel.put(1));          // from a task of any loop
//     std::thread([channel] { channel.put_nowait(2); }).join();  // or from a thread without one
//     assert(asyncio::await(channel.get()) + asyncio::await(channel.get()) == 3);
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/future.h"
#include "aiofiber/ring.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/task_core.h"

namespace aiofiber {

template <class T>
class Channel;

namespace detail {

class ChannelWait;

// The part of a channel that does not depend on the type of its items.
class ChannelCore {
 public:
  // ValueError: no room for an item.
  explicit ChannelCore(std::ptrdiff_t maxsize);
  ChannelCore(const ChannelCore&) = delete;
  ChannelCore& operator=(const ChannelCore&) = delete;

  std::size_t size() const noexcept {
    const Guard guard(*this);
    return size_;
  }
  bool full() const noexcept { return size() >= maxsize_; }
  std::size_t maxsize() const noexcept { return maxsize_; }
  std::string text() const;

 protected:
  friend class ChannelWait;
  // Holds the mutex. A hooked lock would suspend a task that waits for it, so the hooks are off.
  class Guard {
   public:
    explicit Guard(const ChannelCore& channel) noexcept : lock_(channel.mutex_) {}

   private:
    [[no_unique_address]] runtime::HooksOff hooks_off_;
    std::lock_guard<std::mutex> lock_;
  };
  ~ChannelCore() = default;

  // ---- the rest with the mutex
  // False if there is no room; QueueShutDown.
  bool has_room() const {
    if (AIOFIBER_UNLIKELY(is_shut_down_)) throw_shut_down();
    return size_ < maxsize_;
  }
  // False if there is no item; QueueShutDown.
  bool has_item() const {
    if (size_ > 0) return true;
    if (AIOFIBER_UNLIKELY(is_shut_down_)) throw_shut_down();
    return false;
  }
  void item_put() noexcept {
    ++size_;
    if (!getters_.empty()) wake_next(getters_);
  }
  void item_taken() noexcept {
    --size_;
    if (!putters_.empty()) wake_next(putters_);
  }
  void end(bool drop_items) noexcept;
  void join(ChannelWait& wait) noexcept;

 private:
  [[noreturn]] static void throw_shut_down();
  static bool wake(ChannelWait& wait) noexcept;
  void wake_next(runtime::List<ChannelWait>& waiting) noexcept;
  void leave(ChannelWait& wait) noexcept;

  mutable std::mutex mutex_;
  const std::size_t maxsize_;
  std::size_t size_ = 0;  // guarded by mutex_, as all below
  bool is_shut_down_ = false;
  std::uint64_t last_place_ = 0;
  runtime::List<ChannelWait> getters_;  // those that are not woken, by place
  runtime::List<ChannelWait> putters_;
};

// One wait of a task, on its stack or in its coroutine's frame. It joins the channel's list each time the
// task finds no item (or no room), and leaves it when it is woken or destroyed.
class ChannelWait : public runtime::ListNode {
  // The future of the wait. Only the waiting task refers to it, so no reference is the last one.
  class WaitFuture final : public FutureState<void> {
   public:
    WaitFuture(LoopCore& loop, const ChannelCore& channel, enum aiofiber_wait kind)
        : FutureState<void>(loop), channel_(channel) {
      wait_kind = static_cast<std::uint8_t>(kind);
      retain();
    }
    const void* wait_object() const noexcept override { return &channel_; }
    using FutureBase::reopen;

   private:
    const ChannelCore& channel_;
  };

 public:
  ChannelWait(ChannelCore& channel, TaskCore& task, enum aiofiber_wait kind)
      : channel_(channel),
        loop_(task.loop()),
        node_(std::make_unique<Node>(*this)),
        for_room_(kind == AIOFIBER_WAIT_QUEUE_PUT),
        future_(task.loop(), channel, kind) {}
  ~ChannelWait();
  ChannelWait(const ChannelWait&) = delete;
  ChannelWait& operator=(const ChannelWait&) = delete;

  // Before each look at the channel.
  void prepare() noexcept {
    if (future_.done()) future_.reopen();
  }
  // Suspends the current task until it is woken. CancelledError.
  void wait(TaskCore& task) {
    if (!future_.done()) task.wait_for_future(future_);
    outcome();
  }
  // The same for a coroutine: co_await wait.woken_up().
  WaitAwaiter<ChannelWait> woken_up() noexcept { return WaitAwaiter<ChannelWait>(*this); }

 private:
  friend class ChannelCore;
  friend class WaitAwaiter<ChannelWait>;
  FutureBase& future_of_wait() noexcept { return future_; }
  void outcome() { future_.check_result(); }
  enum class Phase : unsigned char {
    kOutside,  // in no list; nothing is due to it
    kWaiting,  // in the channel's list
    kWoken,    // in no list; a wake-up is on its way or has arrived, and the task has not looked since
  };
  // What a waking thread posts to the loop. It outlives a wait that ends before the node arrives.
  struct Node final : runtime::Runnable {
    explicit Node(ChannelWait& its_wait) noexcept;
    ChannelWait* wait;    // null: the wait has ended. Used on the loop's thread.
    bool posted = false;  // set with the channel's mutex before the post, reset on the loop's thread
  };
  static void arrive(runtime::Runnable& node) noexcept;

  ChannelCore& channel_;
  LoopCore& loop_;  // the future holds a reference
  std::unique_ptr<Node> node_;
  std::uint64_t place_ = 0;  // grows in order of arrival; 0: it has not waited yet. Guarded by the mutex.
  Phase phase_ = Phase::kOutside;  // guarded by the mutex
  const bool for_room_;
  WaitFuture future_;
};

template <class T>
class ChannelState final : public ChannelCore {
  static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T> &&
                    std::is_nothrow_destructible_v<T>,
                "the items of a Channel move from thread to thread with its mutex held, so their move "
                "constructor must be noexcept: use a std::unique_ptr to the item");

 public:
  using ChannelCore::ChannelCore;

  // False if the channel is full: the item stays, and `wait`, if given, joins the list. QueueShutDown.
  bool put(T& item, ChannelWait* wait = nullptr) {
    if (wait != nullptr) wait->prepare();
    const Guard guard(*this);
    if (!has_room()) {
      if (wait != nullptr) join(*wait);
      return false;
    }
    items_.push_back(std::move(item));
    item_put();
    return true;
  }
  // False if the channel is empty: `wait`, if given, joins the list. QueueShutDown.
  bool get(std::optional<T>& item, ChannelWait* wait = nullptr) {
    if (wait != nullptr) wait->prepare();
    const Guard guard(*this);
    if (!has_item()) {
      if (wait != nullptr) join(*wait);
      return false;
    }
    item.emplace(items_.pop_front());
    item_taken();
    return true;
  }
  void shutdown(bool immediate) {
    Ring<T> dropped;  // destroyed without the mutex
    const Guard guard(*this);
    if (immediate) items_.swap(dropped);
    end(immediate);
  }

 private:
  Ring<T> items_;
};

}  // namespace detail

// A handle; copies refer to the same channel. The channel ends with its last handle and its last waiting
// task; items that are left are destroyed there.
template <class T>
class Channel {
 public:
  using value_type = T;

  // Room for at most `maxsize` items, at least 1. Memory is taken as items come. ValueError: less than 1.
  explicit Channel(std::ptrdiff_t maxsize) : state_(std::make_shared<detail::ChannelState<T>>(maxsize)) {}

  // Adds the item, and waits for room if the channel is full. Does not suspend while there is room. A plain
  // thread uses put_nowait(), or run_coroutine_threadsafe() to wait.
  // Cancellation: a cancellation point when it suspends; the item is dropped then. Errors: QueueShutDown,
  // also while it waits; CancelledError; RuntimeError outside a task.
  Coroutine<void> put(T item) const { return Coroutine<void>(Put{state_, std::move(item)}); }
  // Adds the item. QueueFull; QueueShutDown.
  void put_nowait(T item) const {
    if (!state_->put(item)) throw QueueFull();
  }
  // Takes the oldest item, and waits for one if the channel is empty. Does not suspend while there are items.
  // Cancellation: a cancellation point when it suspends; no item is lost. Errors: QueueShutDown: empty and
  // shut down; the others as put().
  Coroutine<T> get() const { return Coroutine<T>(Get{state_}); }
  // Takes the oldest item. QueueEmpty; QueueShutDown: empty and shut down.
  T get_nowait() const {
    std::optional<T> item;
    if (!state_->get(item)) throw QueueEmpty();
    return std::move(*item);
  }

  // Ends puts. Gets go on until the channel is empty. With `immediate` they fail at once, and the remaining
  // items are destroyed, on this thread. All waiting tasks check again; most get QueueShutDown.
  void shutdown(bool immediate = false) const { state_->shutdown(immediate); }

  // What another thread does at the same time may change the answers at once.
  std::size_t qsize() const noexcept { return state_->size(); }
  bool empty() const noexcept { return state_->size() == 0; }  // no item is there: get_nowait() would throw
  bool full() const noexcept { return state_->full(); }        // no room is there: put_nowait() would throw
  // as it was constructed
  std::ptrdiff_t maxsize() const noexcept { return static_cast<std::ptrdiff_t>(state_->maxsize()); }

  // Whether both are handles of the same channel.
  friend bool operator==(const Channel&, const Channel&) noexcept = default;
  friend std::string repr(const Channel& channel) { return channel.state_->text(); }

 private:
  using State = std::shared_ptr<detail::ChannelState<T>>;
  struct Put {
    State state;
    T item;
    void operator()() {
      if (state->put(item)) return;
      detail::TaskCore& task = detail::require_current_task();
      detail::ChannelWait wait(*state, task, AIOFIBER_WAIT_QUEUE_PUT);
      while (!state->put(item, &wait)) wait.wait(task);
    }
    Coro<void> stackless_form() { return put_without_stack(std::move(state), std::move(item)); }
  };
  struct Get {
    State state;
    T operator()() {
      std::optional<T> item;
      if (!state->get(item)) {
        detail::TaskCore& task = detail::require_current_task();
        detail::ChannelWait wait(*state, task, AIOFIBER_WAIT_QUEUE_GET);
        while (!state->get(item, &wait)) wait.wait(task);
      }
      return std::move(*item);
    }
    Coro<T> stackless_form() { return get_without_stack(std::move(state)); }
  };
  static Coro<void> put_without_stack(State state, T item) {
    if (state->put(item)) co_return;
    detail::ChannelWait wait(*state, *detail::current_task_core(), AIOFIBER_WAIT_QUEUE_PUT);
    while (!state->put(item, &wait)) co_await wait.woken_up();
  }
  static Coro<T> get_without_stack(State state) {
    std::optional<T> item;
    if (!state->get(item)) {
      detail::ChannelWait wait(*state, *detail::current_task_core(), AIOFIBER_WAIT_QUEUE_GET);
      while (!state->get(item, &wait)) co_await wait.woken_up();
    }
    co_return std::move(*item);
  }

  State state_;
};

}  // namespace aiofiber
