// SPDX-License-Identifier: Apache-2.0
//
// The concept Awaitable, and ResultOf: the type that await() returns.
//
// Awaitables are futures, tasks, coroutine objects (Coroutine and Coro), callables without arguments (taken
// as coroutine functions), and the C++20 awaitables of other libraries. ensure_future() turns each of them
// into a future.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "aiofiber/coroutine.h"
#include "aiofiber/foreign.h"
#include "aiofiber/future.h"
#include "aiofiber/task.h"

namespace aiofiber {

namespace detail {
template <class X>
concept FutureLike = std::derived_from<std::remove_cvref_t<X>, AnyFuture> && requires {
  typename std::remove_cvref_t<X>::value_type;
};
template <class X>
concept CoroutineLike = IsCoroutine<std::remove_cvref_t<X>>::value;
// An awaitable of another library: it has operator co_await, or the members of an awaiter.
template <class X>
concept ForeignLike = !FutureLike<X> && !CoroutineLike<X> &&
                      (HasMemberCoAwait<X> || HasFreeCoAwait<X> || Awaiter<std::remove_cvref_t<X>>);
template <class X>
concept CallableLike =
    !FutureLike<X> && !CoroutineLike<X> && !ForeignLike<X> && std::is_invocable_v<std::decay_t<X>&>;

template <class X>
struct ResultOfImpl;
template <FutureLike X>
struct ResultOfImpl<X> {
  using type = typename std::remove_cvref_t<X>::value_type;
};
template <CoroutineLike X>
struct ResultOfImpl<X> {
  using type = typename std::remove_cvref_t<X>::value_type;
};
template <ForeignLike X>
struct ResultOfImpl<X> {
  using type = ResultOfForeign<X>;
};
template <CallableLike X>
struct ResultOfImpl<X> {
  using type = Awaited<std::invoke_result_t<std::decay_t<X>&>>;
};
}  // namespace detail

template <class X>
concept Awaitable =
    detail::FutureLike<X> || detail::CoroutineLike<X> || detail::CallableLike<X> || detail::ForeignLike<X>;

// What awaiting an X gives: T of a Future<T>, Task<T>, Coroutine<T> or Coro<T>; of a callable, what it
// returns.
template <Awaitable X>
using ResultOf = typename detail::ResultOfImpl<X>::type;

// True for Future, Task and the results of gather and shield.
template <class X>
constexpr bool isfuture(const X&) {
  return std::derived_from<X, AnyFuture>;
}

namespace detail {
[[noreturn]] void throw_wrong_loop();

// A Coro that awaits a foreign awaitable (coro.h).
template <class A>
Coro<ResultOfForeign<A>> await_foreign(A awaitable);

// ensure_future on a given loop: returns the same future, or a new task.
template <Awaitable A>
auto ensure_on(LoopCore& loop, A&& awaitable) {
  if constexpr (FutureLike<A>) {
    if (&awaitable.state().loop() != &loop) throw_wrong_loop();
    return std::remove_cvref_t<A>(std::forward<A>(awaitable));
  } else if constexpr (ForeignLike<A>) {
    return loop.facade().create_task(await_foreign<std::decay_t<A>>(std::forward<A>(awaitable)));
  } else {
    return loop.facade().create_task(std::forward<A>(awaitable));
  }
}
}  // namespace detail

// Returns a future or task unchanged. Anything else becomes a task of `loop` (nullptr: the running loop, else
// the current one). ValueError: the future belongs to a different loop. RuntimeError: no loop, or a closed
// one.
template <Awaitable A>
auto ensure_future(A&& awaitable, EventLoop* loop = nullptr) {
  if constexpr (detail::FutureLike<A>) {
    if (loop != nullptr && &awaitable.state().loop() != &loop->core()) detail::throw_wrong_loop();
    return std::remove_cvref_t<A>(std::forward<A>(awaitable));
  } else {
    return detail::ensure_on((loop != nullptr ? *loop : get_event_loop()).core(), std::forward<A>(awaitable));
  }
}

// The alias of Python 3.4.
template <Awaitable A>
[[deprecated("async() is asyncio's old name of ensure_future()")]] auto async(A&& awaitable,
                                                                              EventLoop* loop = nullptr) {
  return ensure_future(std::forward<A>(awaitable), loop);
}

}  // namespace aiofiber
