// SPDX-License-Identifier: Apache-2.0
//
// shield(): waits for an awaitable without passing a cancellation on to it. Source: asyncio.shield.
// A cancellation ends only the outer future; the inner one goes on. An inner future that is done already is
// returned itself.
// An inner future without waiters reports its unread error when it is destroyed.
//
//     auto save = asyncio::create_task([] { asyncio::await(asyncio::sleep(5ms)); return 7; });
//     try {
//       asyncio::await(asyncio::wait_for(asyncio::shield(save), 1ms));
//       assert(false);
//     } catch (const asyncio::TimeoutError&) {
//       assert(asyncio::await(save) == 7);     // it went on
//     }
#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include "aiofiber/awaitable.h"
#include "aiofiber/not_awaitable.h"
#include "aiofiber/watch.h"

namespace aiofiber {

namespace detail {

template <class T>
class ShieldState final : public FutureState<T>, public WatchOwner {
 public:
  explicit ShieldState(LoopCore& loop) : FutureState<T>(loop), watches_(1), outer_done_(*this) {
    this->wait_kind = AIOFIBER_WAIT_SHIELD;
    this->add_waiter(outer_done_);
  }
  void start(runtime::Ref<FutureBase> inner) { watches_[0].start(*this, std::move(inner)); }

  void input_done(Watch& watch) noexcept override {
    FutureBase& inner = *watch.input;
    if (this->done()) {
      inner.mark_retrieved();
      return;
    }
    try {
      if (inner.cancelled()) {
        FutureBase::cancel({});
      } else if (inner.failed()) {
        inner.mark_retrieved();
        this->fail(inner.peek_exception());
      } else if constexpr (std::is_void_v<T>) {
        this->set_value();
      } else if constexpr (std::is_reference_v<T>) {
        this->set_value(std::ref(static_cast<FutureState<T>&>(inner).take()));
      } else {
        this->set_value(static_cast<FutureState<T>&>(inner).take());
      }
    } catch (...) {
      if (!this->done()) this->fail(std::current_exception());  // the copy of the value threw
    }
  }
  void retain_owner() noexcept override { this->retain(); }
  void release_owner() noexcept override { this->release(); }
  std::uint32_t owner_references() const noexcept override { return this->references(); }
  void add_awaiting(std::vector<FutureBase*>& out) const override {
    out.push_back(const_cast<ShieldState*>(this));
  }
  const void* watcher() const noexcept override { return static_cast<const FutureBase*>(this); }
  WatchOwner* watch_owner() noexcept override { return this; }

 protected:
  void last_reference_gone() noexcept override {
    if (!watches_.hand_to_inputs(*this)) FutureBase::last_reference_gone();
  }

 private:
  // The shield's own done-callback, which is the first one. When it has run, readers of the inner future are
  // responsible for its error. Before that, an inner future that ends counts as read. The callback costs one
  // pass, as asyncio's does.
  struct OuterDone final : CallbackNode, Waiter {
    explicit OuterDone(ShieldState& owner) noexcept : CallbackNode(&run_node), shield(owner) {
      target = this;
      on_scheduled = [](Waiter& waiter, FutureBase&) noexcept {
        static_cast<OuterDone&>(waiter).shield.retain();
      };
    }
    ~OuterDone() {
      if (linked()) unlink();
    }
    static void run_node(Runnable& node) {
      ShieldState& shield = static_cast<OuterDone&>(node).shield;
      shield.watches_.stop_all();
      shield.release();
    }
    void drop() noexcept override { shield.release(); }
    ShieldState& shield;
  };
  WatchArray watches_;
  OuterDone outer_done_;
};

}  // namespace detail

// A future that ends as the awaitable does, but does not pass a cancellation on to it. Cancelling the task
// that awaits the shield raises CancelledError in that task, and the inner task goes on. If the inner one is
// cancelled by other means, the shield is cancelled too, without the message. If it is done already, the
// result is the inner future itself. A callable or Coroutine becomes a task; keep the inner task's handle to
// wait for it after a cancellation. Its errors are then reported if no code reads them. Errors: RuntimeError:
// no current loop (for an awaitable that is not a future).
// Source: asyncio.shield.
template <Awaitable A>
Future<ResultOf<A>> shield(A&& awaitable) {
  using T = ResultOf<A>;
  Future<T> inner = ensure_future(std::forward<A>(awaitable));
  if (inner.done()) return inner;
  runtime::Ref<detail::ShieldState<T>> state(new detail::ShieldState<T>(inner.state().loop()));
  state->start(inner.ref());
  return Future<T>(runtime::Ref<detail::FutureState<T>>(std::move(state)));
}

}  // namespace aiofiber
