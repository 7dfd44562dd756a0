// SPDX-License-Identifier: Apache-2.0
//
// as_completed(): results in order of completion. Source: asyncio.as_completed (3.13, plain iteration).
//
// The call starts all inputs. The range gives one Coroutine for each distinct input. Awaiting any of them
// gives the next input that finishes, so they are interchangeable. Finished inputs wait in a queue. The call
// reserves the space of this queue.
//
//     auto slow = asyncio::create_task(asyncio::sleep(4ms, 2));
//     auto quick = asyncio::create_task(asyncio::sleep(1ms, 1));
//     std::vector tasks{slow, quick};
//     std::vector<int> order;
//     for (auto next : asyncio::as_completed(tasks)) order.push_back(asyncio::await(std::move(next)));
//     assert((order == std::vector{1, 2}));
#pragma once

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"
#include "aiofiber/handle.h"
#include "aiofiber/range.h"
#include "aiofiber/wait_queue.h"
#include "aiofiber/watch.h"

namespace aiofiber {

namespace detail {

class AsCompletedState final : public WatchOwner {
 public:
  AsCompletedState(LoopCore& loop, std::size_t count);
  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }
  void retain_owner() noexcept override { retain(); }
  void release_owner() noexcept override { release(); }
  std::uint32_t owner_references() const noexcept override { return references_; }
  void add_awaiting(std::vector<FutureBase*>& out) const override;
  const void* watcher() const noexcept override { return this; }

  void start(const std::vector<runtime::Ref<FutureBase>>& inputs, std::optional<Duration> timeout);
  void input_done(Watch& watch) noexcept override;
  // Suspends the current task until the next input finishes. TimeoutError: the timeout passed first.
  runtime::Ref<FutureBase> next();
  static Coro<runtime::Ref<FutureBase>> next_without_stack(runtime::Ref<AsCompletedState> state);

 private:
  ~AsCompletedState();
  void on_timeout() noexcept;
  void pass_on(const WaitQueue::Waiter& waiter);
  runtime::Ref<FutureBase> take();

  runtime::Ref<LoopCore> loop_;
  std::uint32_t references_ = 0;
  WatchArray watches_;
  std::size_t unfinished_;
  std::vector<runtime::Ref<FutureBase>> finished_;  // null: cut off by the timeout
  std::size_t taken_ = 0;                           // how many of finished_ were given out
  WaitQueue getters_{AIOFIBER_WAIT_AS_COMPLETED, this};
  std::optional<TimerHandle> timer_;
};

}  // namespace detail

// The result of as_completed(): a range for a single pass.
template <class T>
class AsCompleted {
 public:
  struct Sentinel {};
  // Moves once from Coroutine to Coroutine; an input iterator.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Coroutine<T>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Coroutine<T>;

    explicit Iterator(AsCompleted& range) noexcept : range_(&range) {}
    // A new Coroutine for the next input that finishes.
    Coroutine<T> operator*() const { return range_->item(); }
    Iterator& operator++() noexcept {
      --range_->left_;
      return *this;
    }
    void operator++(int) noexcept { --range_->left_; }
    bool operator==(Sentinel) const noexcept { return range_->left_ == 0; }

   private:
    AsCompleted* range_;
  };

  AsCompleted(runtime::Ref<detail::AsCompletedState> state, std::size_t count) noexcept
      : state_(std::move(state)), left_(count) {}
  Iterator begin() noexcept { return Iterator(*this); }
  Sentinel end() const noexcept { return {}; }

 private:
  Coroutine<T> item() const {
    return Coroutine<T>(detail::TwoForms{[state = state_]() -> T { return result_of(*state->next()); },
                                         [state = state_] { return item_without_stack(state); }});
  }
  static Coro<T> item_without_stack(runtime::Ref<detail::AsCompletedState> state) {
    const runtime::Ref<detail::FutureBase> input =
        co_await detail::AsCompletedState::next_without_stack(std::move(state));
    co_return result_of(*input);
  }
  static T result_of(detail::FutureBase& input) {
    input.check_result();
    return static_cast<detail::FutureState<T>&>(input).take();
  }
  runtime::Ref<detail::AsCompletedState> state_;
  std::size_t left_;
};

// Starts the awaitables (callables and Coroutines as tasks) and gives a range of Coroutines, one for each
// distinct input: `for (auto next : as_completed(fs)) use(await(next));`. Awaiting one gives the result or
// throws the error of the next input that finishes. `timeout` counts from this call. After it, unfinished
// inputs throw TimeoutError. Inputs that finished before are still delivered first, and no input is
// cancelled. Leaving the loop early stops no input.
// Differs from asyncio: when the range and its Coroutines are destroyed, its callbacks and its timer are
// removed at once; in asyncio they stay until every input is done.
// Cancellation: awaiting an item is a cancellation point; the inputs are left alone. Errors: ValueError: a
// future of another loop. RuntimeError: no current loop. Source: asyncio.as_completed.
template <AwaitableRange Range>
AsCompleted<ResultOf<detail::ElementOf<Range>>> as_completed(Range&& awaitables,
                                                             std::optional<Duration> timeout = std::nullopt) {
  using Element = detail::ElementOf<Range>;
  detail::LoopCore& loop = get_event_loop().core();
  std::vector<detail::FutureOf<Element>> futures;
  for (Element& input : detail::elements_of(std::forward<Range>(awaitables))) {
    futures.push_back(detail::future_on(loop, std::move(input)));
  }
  detail::remove_duplicates(futures);
  std::vector<runtime::Ref<detail::FutureBase>> inputs;
  for (const auto& future : futures) inputs.push_back(future.ref());
  runtime::Ref<detail::AsCompletedState> state(new detail::AsCompletedState(loop, inputs.size()));
  state->start(inputs, timeout);
  return AsCompleted<ResultOf<Element>>(std::move(state), inputs.size());
}
template <Awaitable A>
AsCompleted<ResultOf<A>> as_completed(std::initializer_list<A> awaitables,
                                      std::optional<Duration> timeout = std::nullopt) {
  return as_completed(std::vector<A>(awaitables), timeout);
}

}  // namespace aiofiber
