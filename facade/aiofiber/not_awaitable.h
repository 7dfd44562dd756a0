// SPDX-License-Identifier: Apache-2.0
//
// The compiler's error for await(5): one sentence with the remedy, instead of a list of all overloads that do
// not fit.
//
// Each function that takes an awaitable has a second overload here. It takes all other arguments and does not
// compile. It is chosen only where no real overload fits, so no correct program changes.
#pragma once

#include <optional>
#include <type_traits>

#include "aiofiber/awaitable.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"

namespace aiofiber {

namespace detail {

// A variable, not the concept: for a concept, a compiler would list the unsatisfied parts.
template <class X>
inline constexpr bool is_awaitable = Awaitable<X>;

// Gives a value that an await around the call accepts, so that no further error follows.
template <class... X>
Coroutine<void> refuse_not_awaitable() {
  static_assert((is_awaitable<X> && ...),
                "this cannot be awaited: give a Future, a Task, a Coroutine, or a callable without arguments "
                "(a function with arguments wants a lambda around it: [&] { return fn(x); })");
  return Coroutine<void>([] {});
}

}  // namespace detail

template <class X>
requires(!Awaitable<X>) void await(X&&) { static_cast<void>(detail::refuse_not_awaitable<X>()); }

template <class X>
requires(!Awaitable<X>) Coroutine<void> ensure_future(X&&, EventLoop* = nullptr) {
  return detail::refuse_not_awaitable<X>();
}

template <class X>
requires(!Awaitable<X>) Coroutine<void> shield(X&&) { return detail::refuse_not_awaitable<X>(); }

template <class X>
requires(!Awaitable<X>) Coroutine<void> wait_for(X&&, std::optional<Duration>) {
  return detail::refuse_not_awaitable<X>();
}

template <class X, class Options>
requires(!Awaitable<X>) void run(X&&, Options) { static_cast<void>(detail::refuse_not_awaitable<X>()); }
template <class X>
requires(!Awaitable<X>) void run(X&&) { static_cast<void>(detail::refuse_not_awaitable<X>()); }

}  // namespace aiofiber
