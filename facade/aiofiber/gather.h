// SPDX-License-Identifier: Apache-2.0
//
// gather(): runs several awaitables at once and gives their results in input order. Source: asyncio.gather
// (3.13).
//
// The gather is a future that watches its inputs. The call reserves the nodes and the storage of the result,
// so nothing is allocated when inputs finish (copying a result may allocate, if its type does).
// Cancellation is a request, as for a task: it goes to the inputs, and the gather ends when they have ended.
//
//     auto slow = [] { asyncio::await(asyncio::sleep(2ms)); return 1; };
//     auto [a, b] = asyncio::await(asyncio::gather(slow, [] { return std::string("two"); }));
//     assert(a == 1 && b == "two");
//
// Wrong: gather() for tasks with `[&]`. After the first error the others go on; a task group waits for
// them.
#pragma once

#include <cstddef>
#include <exception>
#include <initializer_list>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "aiofiber/awaitable.h"
#include "aiofiber/not_awaitable.h"
#include "aiofiber/range.h"
#include "aiofiber/result.h"
#include "aiofiber/watch.h"

namespace aiofiber {

// The tag of gather(return_exceptions, ...): errors become items of the result.
struct return_exceptions_t {
  explicit return_exceptions_t() = default;
};
// The first argument of gather() that makes errors items of the result.
inline constexpr return_exceptions_t return_exceptions{};

namespace detail {

// The common part of gathers of all result types.
class GatherCore : public WatchOwner {
 public:
  GatherCore(FutureBase& outer, std::size_t size, bool collects_errors)
      : watches_(size), outer_(outer), collects_errors_(collects_errors) {
    outer_.wait_kind = AIOFIBER_WAIT_GATHER;
  }

  // Adds the next input. `made_here`: the program reaches this task only through the gather.
  void add(runtime::Ref<FutureBase> input, bool made_here);
  // All inputs were added: checks those that were done already.
  void inputs_complete() noexcept;
  // For an error before inputs_complete(): inputs that were started go on by themselves.
  void abandon() noexcept { watches_.stop_all(); }

  // Sends a cancellation request to every input that is not done (cancel_walk.cc). False: all are done.
  bool cancel(const RareText& message);
  // The same in steps: the first input to ask; the input after the one that has answered, or null; and the
  // end.
  FutureBase* enter_walk(CancelWalk& walk, FutureBase* above) noexcept;
  FutureBase* next_of_walk(CancelWalk& walk) noexcept;
  FutureBase* leave_walk(CancelWalk& walk) noexcept;
  bool cancel_requested() const noexcept { return cancel_requested_; }
  // Requests that only the tasks below count.
  void count_requests(CancelMany& many, std::uint32_t requests) noexcept;
  // The task that awaits this gather was taken out of a ring. No code reads the error, and it is not
  // reported.
  void let_reader_go() noexcept { reader_left_ = true; }

  void input_done(Watch& watch) noexcept override;
  void retain_owner() noexcept override { outer_.retain(); }
  void release_owner() noexcept override { outer_.release(); }
  std::uint32_t owner_references() const noexcept override { return outer_.references(); }
  void add_awaiting(std::vector<FutureBase*>& out) const override;
  const void* watcher() const noexcept override { return &outer_; }

 protected:
  ~GatherCore() = default;
  // Sets the outer future's value from the inputs. Precondition: all are done.
  virtual void deliver() = 0;
  WatchArray watches_;

 private:
  void fail(std::exception_ptr error);

  FutureBase& outer_;
  std::size_t added_ = 0;
  std::size_t finished_ = 0;
  bool collects_errors_;
  bool cancel_requested_ = false;
  bool reader_left_ = false;

  // True while a CancelWalk is at this gather or below it.
  bool cancel_walk_ = false;
  bool cancel_accepted_ = false;
  bool cancel_ring_ = false;            // an input led back to a task above
  std::size_t cancel_next_ = 0;         // the input to ask next
  FutureBase* cancel_above_ = nullptr;  // the requesting task or gather
};

template <class... A>
concept GatherInputs = (Awaitable<A> && ...) || (sizeof...(A) == 1 && (AwaitableRange<A> && ...));

template <class V>
class GatherState : public FutureState<V>, public GatherCore {
 public:
  GatherState(LoopCore& loop, std::size_t size, bool collects_errors)
      : FutureState<V>(loop), GatherCore(static_cast<FutureBase&>(*this), size, collects_errors) {}
  bool cancel(const RareText& message) override { return GatherCore::cancel(message); }
  GatherCore* gather() noexcept override { return this; }
  WatchOwner* watch_owner() noexcept override { return this; }
  const char* kind() const noexcept override { return "_GatheringFuture"; }

 protected:
  void last_reference_gone() noexcept override {
    if (!watches_.hand_to_inputs(*this)) FutureBase::last_reference_gone();
  }
};

// The item of the result for an input `future` of type T.
template <class T, bool kCollectErrors>
auto gather_item(FutureBase& future) {
  auto& typed = static_cast<FutureState<T>&>(future);
  if constexpr (kCollectErrors) {
    if (future.cancelled())
      return Result<T>(std::make_exception_ptr(CancelledError(std::string(future.cancel_message().view()))));
    if (future.failed()) {
      future.mark_retrieved();
      return Result<T>(future.peek_exception());
    }
    if constexpr (std::is_void_v<T>) {
      return Result<T>(std::monostate());
    } else {
      return Result<T>(Stored<T>(typed.take()));
    }
  } else if constexpr (std::is_void_v<T>) {
    return std::monostate();
  } else {
    return Stored<T>(typed.take());
  }
}

template <bool kCollectErrors, class... T>
using GatherTuple = std::tuple<std::conditional_t<kCollectErrors, Result<T>, Unvoid<T>>...>;

template <bool kCollectErrors, class... T>
class TupleGather final : public GatherState<GatherTuple<kCollectErrors, T...>> {
 public:
  explicit TupleGather(LoopCore& loop)
      : GatherState<GatherTuple<kCollectErrors, T...>>(loop, sizeof...(T), kCollectErrors) {}

 protected:
  void deliver() override { deliver_items(std::index_sequence_for<T...>()); }

 private:
  template <std::size_t... I>
  void deliver_items(std::index_sequence<I...>) {
    this->set_value(
        GatherTuple<kCollectErrors, T...>(gather_item<T, kCollectErrors>(*this->watches_[I].input)...));
  }
};

// A vector cannot hold references: they become std::reference_wrapper. A range of void gives Future<void>.
template <bool kCollectErrors, class T>
using GatherVector = std::conditional_t<kCollectErrors, std::vector<Result<T>>,
                                        std::conditional_t<std::is_void_v<T>, void, std::vector<Stored<T>>>>;

template <bool kCollectErrors, class T>
class VectorGather final : public GatherState<GatherVector<kCollectErrors, T>> {
 public:
  VectorGather(LoopCore& loop, std::size_t size)
      : GatherState<GatherVector<kCollectErrors, T>>(loop, size, kCollectErrors) {
    if constexpr (!std::is_void_v<GatherVector<kCollectErrors, T>>) items_.reserve(size);
  }

 protected:
  void deliver() override {
    if constexpr (std::is_void_v<GatherVector<kCollectErrors, T>>) {
      this->set_value();
    } else {
      for (Watch& watch : this->watches_) items_.push_back(gather_item<T, kCollectErrors>(*watch.input));
      this->set_value(std::move(items_));
    }
  }

 private:
  std::conditional_t<std::is_void_v<GatherVector<kCollectErrors, T>>, std::monostate,
                     GatherVector<kCollectErrors, T>>
      items_;
};

// A gather belongs to the loop of its first input.
template <class A>
LoopCore& gather_loop(const A& first) {
  if constexpr (FutureLike<A>) {
    return first.state().loop();
  } else {
    return get_event_loop().core();
  }
}
inline LoopCore& gather_loop() { return get_event_loop().core(); }
template <class A, class B, class... More>
LoopCore& gather_loop(const A& first, const B&, const More&...) {
  return gather_loop(first);
}

template <class A>
void gather_add(GatherCore& gather, LoopCore& loop, A&& awaitable) {
  gather.add(ensure_on(loop, std::forward<A>(awaitable)).ref(), !FutureLike<A>);
}

template <class State, class AddAll>
auto gather_start(runtime::Ref<State> state, AddAll add_all) {
  try {
    add_all(*state);
  } catch (...) {
    state->abandon();
    throw;
  }
  state->inputs_complete();
  return state;
}

template <bool kCollectErrors, class... A>
auto gather_tuple(A&&... awaitables) {
  using State = TupleGather<kCollectErrors, ResultOf<A>...>;
  LoopCore& loop = gather_loop(awaitables...);
  auto state = gather_start(runtime::Ref<State>(new State(loop)), [&](State& gather) {
    (gather_add(gather, loop, std::forward<A>(awaitables)), ...);
    static_cast<void>(gather);
  });
  using V = GatherTuple<kCollectErrors, ResultOf<A>...>;
  return Future<V>(runtime::Ref<FutureState<V>>(std::move(state)));
}

template <bool kCollectErrors, class Range>
auto gather_range(Range&& range) {
  using Element = ElementOf<Range>;
  using T = ResultOf<Element>;
  using State = VectorGather<kCollectErrors, T>;
  auto inputs = elements_of(std::forward<Range>(range));
  LoopCore& loop = inputs.empty() ? get_event_loop().core() : gather_loop(inputs.front());
  auto state = gather_start(runtime::Ref<State>(new State(loop, inputs.size())), [&](State& gather) {
    for (Element& input : inputs) gather_add(gather, loop, std::move(input));
  });
  using V = GatherVector<kCollectErrors, T>;
  return Future<V>(runtime::Ref<FutureState<V>>(std::move(state)));
}

}  // namespace detail

// Runs the awaitables at the same time. Gives a future of the tuple of their results, in argument order (void
// becomes std::monostate). Callables and Coroutines become tasks now. Without arguments, or if all are done
// already, the future is done at once. The first input that ends with an error or a cancellation ends the
// gather with that exception. The other inputs go on, and their later errors count as read. Cancellation:
// cancel() sends a cancellation request to every input that is not done. The gather then ends with
// CancelledError when the first of them has ended as cancelled (or all have ended).
// Its own cancelled() stays false. Errors: ValueError: inputs of different loops (earlier inputs were
// started). RuntimeError: no current loop. Source: asyncio.gather. A result is moved if it cannot be copied,
// or if no other handle refers to its input.
template <Awaitable... A>
Future<std::tuple<Unvoid<ResultOf<A>>...>> gather(A&&... awaitables) {
  return detail::gather_tuple<false>(std::forward<A>(awaitables)...);
}

// An error of an input does not end this gather: errors and cancellations become items. It waits for all
// inputs.
// Cancellation: ends with CancelledError when all inputs have ended.
template <Awaitable... A>
Future<std::tuple<Result<ResultOf<A>>...>> gather(return_exceptions_t, A&&... awaitables) {
  return detail::gather_tuple<true>(std::forward<A>(awaitables)...);
}

// The same for a range whose size is known at run time: a future of a vector; Future<void> for a range of
// void.
template <AwaitableRange Range>
requires(!Awaitable<Range>) Future<detail::GatherVector<false, ResultOf<detail::ElementOf<Range>>>> gather(
    Range&& awaitables) {
  return detail::gather_range<false>(std::forward<Range>(awaitables));
}
template <AwaitableRange Range>
requires(!Awaitable<Range>) Future<std::vector<Result<ResultOf<detail::ElementOf<Range>>>>> gather(
    return_exceptions_t, Range&& awaitables) {
  return detail::gather_range<true>(std::forward<Range>(awaitables));
}

// Overloads for arguments that cannot be awaited (not_awaitable.h).
template <class First, class... More>
requires(!std::is_same_v<std::remove_cvref_t<First>, return_exceptions_t> &&
         !detail::GatherInputs<First, More...>) Coroutine<void> gather(First&&, More&&...) {
  return detail::refuse_not_awaitable<First, More...>();
}
template <class... X>
requires(!detail::GatherInputs<X...>) Coroutine<void> gather(return_exceptions_t, X&&...) {
  return detail::refuse_not_awaitable<X...>();
}

}  // namespace aiofiber
