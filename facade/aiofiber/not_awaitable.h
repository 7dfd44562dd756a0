// SPDX-License-Identifier: Apache-2.0
//
// What a compiler says of await(5): one sentence with the remedy, in place of the list of all overloads that
// do not fit.
//
// Each function that takes an awaitable has a twin here that takes everything else and does not compile. A
// twin is chosen only where no real overload fits, so it changes no program that is right.
#pragma once

#include <optional>
#include <type_traits>

#include "aiofiber/awaitable.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"

namespace aiofiber {

namespace detail {

// Not the concept itself, of which a compiler would list what is not satisfied.
template <class X>
inline constexpr bool is_awaitable = Awaitable<X>;

// Gives what an await around the call would take, so that nothing else is wrong there.
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
