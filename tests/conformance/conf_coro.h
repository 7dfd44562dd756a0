// SPDX-License-Identifier: Apache-2.0
//
// The helpers of conf.h that call functions, for functions that are C++20 coroutines.
#pragma once

#include <exception>
#include <optional>
#include <type_traits>

#include "conf.h"

namespace conf {

// Calls a function, and awaits the result if it is a Coro.
template <class Fn>
asyncio::Coro<asyncio::ResultOf<Fn>> call(Fn& fn) {
  if constexpr (returns_coro<Fn>) {
    co_return co_await fn();
  } else {
    co_return fn();
  }
}

template <class Body, class Last>
requires(returns_coro<Body> ||
         returns_coro<Last>) asyncio::Coro<asyncio::ResultOf<Body>> try_finally(Body body, Last last) {
  using Result = asyncio::ResultOf<Body>;
  std::exception_ptr error;  // a coroutine cannot wait in a handler
  std::optional<std::conditional_t<std::is_void_v<Result>, bool, Result>> value;
  try {
    if constexpr (std::is_void_v<Result>) {
      co_await call(body);
    } else {
      value.emplace(co_await call(body));
    }
  } catch (...) {
    error = std::current_exception();
  }
  co_await call(last);
  if (error) std::rethrow_exception(error);
  if constexpr (!std::is_void_v<Result>) co_return std::move(*value);
}

// py_result() and attempt() of a call that waits.
template <class Fn>
requires returns_coro<Fn> asyncio::Coro<std::string> py_result(Fn fn) {
  if constexpr (std::is_void_v<asyncio::ResultOf<Fn>>) {
    co_await fn();
    co_return "None";
  } else {
    co_return detail::py_list_item(co_await fn());
  }
}
template <class Fn>
requires returns_coro<Fn> asyncio::Coro<> attempt(std::string_view label, Fn fn) {
  std::string outcome;
  try {
    const std::string value = co_await py_result(std::move(fn));
    outcome = "-> " + value;
  } catch (...) {
    outcome = "!! " + exc();
  }
  log(label, outcome);
}

// ---- what to_coroutines.py writes
inline asyncio::Coro<> pass_ticks(int count = 1) {
  for (int i = 0; i < count; ++i) co_await asyncio::sleep(0s);
}
// For a body that would not be a coroutine without any co_await.
inline asyncio::Coro<> nothing() { co_return; }

// The result of a coroutine that returns an expression of type X.
template <class X>
using result_of = asyncio::detail::Awaited<std::decay_t<X>>;

}  // namespace conf
