// SPDX-License-Identifier: Apache-2.0
//
// Queue, PriorityQueue, LifoQueue: bounded or unbounded channels between tasks.
//
// Source: asyncio.Queue, with shutdown() of 3.13. A put wakes at most one getter, and a get at most one
// putter. The woken task checks again, because a *_nowait() call may have been faster. If a woken task is
// cancelled before it runs, it passes its wake-up on, so no item is lost. Items need only be movable.
// Threads: the loop's. Differs from asyncio: maxsize is an integer.
//
//     asyncio::Queue<int> queue(1);
//     auto consumer = asyncio::create_task([&] {
//       return asyncio::await(queue.get()) + asyncio::await(queue.get());
//     });
//     asyncio::await(queue.put(1));
//     asyncio::await(queue.put(2));            // waits for room
//     assert(asyncio::await(consumer) == 3);
//
// Wrong: a Queue between threads. That is a Channel.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/coroutine.h"
#include "aiofiber/event.h"
#include "aiofiber/repr.h"
#include "aiofiber/ring.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

namespace detail {

// The orders in which items leave.
template <class T>
struct FifoOrder {
  static constexpr const char* kName = "Queue";
  Ring<T> items;
  void put(T item) { items.push_back(std::move(item)); }
  T get() { return items.pop_front(); }
};
template <class T>
struct LifoOrder {
  static constexpr const char* kName = "LifoQueue";
  std::vector<T> items;
  void put(T item) { items.push_back(std::move(item)); }
  T get() {
    T item = std::move(items.back());
    items.pop_back();
    return item;
  }
};
// Smallest first, by `<`; the order of equal items is not specified.
template <class T>
struct PriorityOrder {
  static constexpr const char* kName = "PriorityQueue";
  std::vector<T> items;  // a heap
  struct Later {
    bool operator()(const T& a, const T& b) const { return b < a; }
  };
  void put(T item) {
    items.push_back(std::move(item));
    std::push_heap(items.begin(), items.end(), Later{});
  }
  T get() {
    std::pop_heap(items.begin(), items.end(), Later{});
    T item = std::move(items.back());
    items.pop_back();
    return item;
  }
};

// The part of a queue that does not depend on the type of its items.
class QueueBase {
 public:
  explicit QueueBase(std::ptrdiff_t maxsize) : maxsize_(maxsize), finished_(new EventState) {
    finished_->value = true;
    finished_->waiters.show_as(AIOFIBER_WAIT_QUEUE_JOIN, this);
  }
  bool full() const noexcept { return maxsize_ > 0 && size_ >= static_cast<std::size_t>(maxsize_); }
  std::size_t size() const noexcept { return size_; }
  std::ptrdiff_t maxsize() const noexcept { return maxsize_; }

  // Suspend until there is an item, or room.
  void wait_for_item(std::string_view type);
  void wait_for_room(std::string_view type);
  Coro<void> wait_for_item_without_stack(std::string_view type);
  Coro<void> wait_for_room_without_stack(std::string_view type);
  // put_nowait() calls the first before it adds the item and the second after.
  void check_put() const {
    if (is_shut_down_ || full()) refuse_put();
  }
  void item_put() {
    ++size_;
    ++unfinished_tasks_;
    finished_->value = false;
    if (!getters_.empty()) getters_.pop_and_wake_next();
  }
  // get_nowait() calls the first before it removes the item and the second after.
  void check_get() const {
    if (size_ == 0) refuse_get();
  }
  void item_taken() {
    --size_;
    if (!putters_.empty()) putters_.pop_and_wake_next();
  }

  void task_done();
  void join();
  Coro<void> join_without_stack();
  void shutdown(bool immediate);
  std::string format(std::string items) const;

 protected:
  ~QueueBase() = default;
  virtual void drop_items() noexcept = 0;

  std::size_t size_ = 0;  // the number of items

 private:
  void wait_in(WaitQueue& queue, std::string_view type, bool for_room);
  Coro<void> wait_in_without_stack(WaitQueue& queue, std::string_view type, bool for_room);
  void pass_on(const WaitQueue::Waiter& waiter, WaitQueue& queue, bool for_room);
  [[noreturn]] void refuse_put() const;
  [[noreturn]] void refuse_get() const;

  std::ptrdiff_t maxsize_;
  std::size_t unfinished_tasks_ = 0;
  bool is_shut_down_ = false;
  runtime::Ref<EventState> finished_;  // set while unfinished_tasks_ is 0
  WaitQueue getters_{AIOFIBER_WAIT_QUEUE_GET, this};
  WaitQueue putters_{AIOFIBER_WAIT_QUEUE_PUT, this};
  LoopBound bound_;
};

template <class T, class Order>
struct QueueState final : QueueBase, Counted<QueueState<T, Order>> {
  using QueueBase::QueueBase;
  void drop_items() noexcept override {
    order.items.clear();
    this->size_ = 0;
  }

  void put_nowait(T item) {
    check_put();
    order.put(std::move(item));
    item_put();
  }
  T get_nowait() {
    check_get();
    T item = order.get();
    item_taken();
    return item;
  }
  Order order;
};

// A queue of items of type T. The three queues differ in the order in which items leave.
template <class T, class Order>
class BasicQueue {
 public:
  using value_type = T;

  // maxsize <= 0: unbounded.
  explicit BasicQueue(std::ptrdiff_t maxsize = 0) : state_(new QueueState<T, Order>(maxsize)) {}
  BasicQueue(const BasicQueue&) = delete;
  BasicQueue& operator=(const BasicQueue&) = delete;

  // Adds the item, and waits for room if the queue is full. Does not suspend while there is room.
  // Cancellation: a cancellation point when it suspends; the item is dropped then. Errors: QueueShutDown,
  // CancelledError, RuntimeError: another loop's queue.
  Coroutine<void> put(T item) { return Coroutine<void>(Put{state_, std::move(item)}); }
  // Adds the item. QueueFull; QueueShutDown.
  void put_nowait(T item) { state_->put_nowait(std::move(item)); }
  // Takes an item, and waits for one if the queue is empty. Does not suspend while there are items.
  // Cancellation: a cancellation point when it suspends; no item is lost. Errors: as put().
  Coroutine<T> get() { return Coroutine<T>(Get{state_}); }
  // Takes an item. QueueEmpty; QueueShutDown: empty and shut down.
  T get_nowait() { return state_->get_nowait(); }

  // Reports that one item from the queue was processed. ValueError "task_done() called too many times".
  void task_done() { state_->task_done(); }
  // Waits until every item that was put was processed. Cancellation: a cancellation point when it suspends.
  Coroutine<void> join() {
    return Coroutine<void>(TwoForms{[state = state_] { state->join(); },
                                    [state = state_] { return join_without_stack(state); }});
  }
  // Ends puts. Gets go on until the queue is empty. With `immediate` they fail at once, and the remaining
  // items are dropped and count as processed. All waiters check again; most get QueueShutDown.
  void shutdown(bool immediate = false) { state_->shutdown(immediate); }

  std::size_t qsize() const noexcept { return state_->size(); }  // items that get() could take now
  bool empty() const noexcept { return state_->size() == 0; }    // no item is there: get_nowait() would throw
  bool full() const noexcept { return state_->full(); }          // no room is there: put_nowait() would throw
  std::ptrdiff_t maxsize() const noexcept { return state_->maxsize(); }  // as it was constructed

  // What repr() prints, with the items.
  std::string text() const {
    std::string items;
    for (std::size_t i = 0; i < state_->size(); ++i) {
      if (i > 0) items += ", ";
      items += repr_of(std::as_const(state_->order.items)[i]);
    }
    return "<" + std::string(Order::kName) + " " + state_->format(std::move(items)) + ">";
  }

 private:
  using State = runtime::Ref<QueueState<T, Order>>;
  struct Put {
    State state;
    T item;
    void operator()() {
      if (state->full()) state->wait_for_room(Order::kName);
      state->put_nowait(std::move(item));
    }
    Coro<void> stackless_form() { return put_without_stack(std::move(state), std::move(item)); }
  };
  struct Get {
    State state;
    T operator()() {
      if (state->size() == 0) state->wait_for_item(Order::kName);
      return state->get_nowait();
    }
    Coro<T> stackless_form() { return get_without_stack(std::move(state)); }
  };
  static Coro<void> put_without_stack(State state, T item) {
    if (state->full()) co_await state->wait_for_room_without_stack(Order::kName);
    state->put_nowait(std::move(item));
  }
  static Coro<T> get_without_stack(State state) {
    if (state->size() == 0) co_await state->wait_for_item_without_stack(Order::kName);
    co_return state->get_nowait();
  }
  static Coro<void> join_without_stack(State state) { co_await state->join_without_stack(); }

  State state_;
};

}  // namespace detail

// `<Queue maxsize=2 _queue=[1, 2] _getters[1] tasks=2>`.
template <class T, class Order>
std::string repr(const detail::BasicQueue<T, Order>& queue) {
  return queue.text();
}

// First in, first out.
template <class T>
class Queue : public detail::BasicQueue<T, detail::FifoOrder<T>> {
 public:
  using detail::BasicQueue<T, detail::FifoOrder<T>>::BasicQueue;
};
// The smallest item first.
template <class T>
class PriorityQueue : public detail::BasicQueue<T, detail::PriorityOrder<T>> {
 public:
  using detail::BasicQueue<T, detail::PriorityOrder<T>>::BasicQueue;
};
// The newest item first.
template <class T>
class LifoQueue : public detail::BasicQueue<T, detail::LifoOrder<T>> {
 public:
  using detail::BasicQueue<T, detail::LifoOrder<T>>::BasicQueue;
};

}  // namespace aiofiber
