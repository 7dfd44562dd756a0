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

}  // namespace conf
