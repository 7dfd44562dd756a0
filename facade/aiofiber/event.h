// SPDX-License-Identifier: Apache-2.0
//
// Event: a flag that tasks can wait for. Source: asyncio.Event.
//
// set() releases all tasks that wait at that moment, even if clear() follows before they run.
// Threads: the loop's; from another thread use call_soon_threadsafe().
//
//     asyncio::Event ready;
//     auto waiter = asyncio::create_task([&] { return asyncio::await(ready.wait()); });
//     ready.set();
//     assert(asyncio::await(waiter) && ready.is_set());
//
// Wrong: set() from another thread. Use loop.call_soon_threadsafe([&] { ready.set(); }).
#pragma once

#include <string>

#include "aiofiber/coroutine.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

namespace detail {
struct EventState final : Counted<EventState> {
  bool wait();
  static Coro<bool> wait_without_stack(runtime::Ref<EventState> event);
  void set();

  bool value = false;
  WaitQueue waiters{AIOFIBER_WAIT_EVENT, this};
  LoopBound bound;
};

// The call of wait() in two forms (coroutine.h).
struct WaitForEvent {
  runtime::Ref<EventState> state;
  bool operator()() { return state->wait(); }
  Coro<bool> stackless_form() { return EventState::wait_without_stack(std::move(state)); }
};
}  // namespace detail

// A flag, false at first. Lifetime: its waiters keep it. Source: asyncio.Event.
class Event {
 public:
  Event() : state_(new detail::EventState) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  bool is_set() const noexcept { return state_->value; }  // the flag
  // Wakes all waiters, in FIFO order, in the next pass.
  void set() { state_->set(); }
  // Resets the flag: later waits suspend until the next set(). Tasks that set() woke go on.
  void clear() noexcept { state_->value = false; }
  // Waits until the flag is set; gives true. Does not suspend if it is set.
  // Cancellation: a cancellation point when it suspends. Errors: CancelledError; RuntimeError: another loop's
  // event.
  Coroutine<bool> wait() { return Coroutine<bool>(detail::WaitForEvent{state_}); }

  friend std::string repr(const Event& event);

 private:
  runtime::Ref<detail::EventState> state_;
};
// The text that asyncio prints, with the flag and the count of waiting tasks.
std::string repr(const Event& event);

}  // namespace aiofiber
