// SPDX-License-Identifier: Apache-2.0
//
// Ranges as gather, wait and as_completed take them: anything with begin() and end(), without <ranges>.
// The concepts require only what these functions use. A vector, a span and a program's own container all fit.
// Elements are moved out of a temporary range.
#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/awaitable.h"

namespace aiofiber {

namespace detail {
template <class X>
using ElementOf = std::remove_cvref_t<decltype(*std::begin(std::declval<X&>()))>;
// Any handle, also AnyFuture and AnyTask.
template <class X>
concept HandleLike = std::derived_from<std::remove_cvref_t<X>, AnyFuture>;
}  // namespace detail

template <class X>
concept AwaitableRange = requires(X& range) {
  std::begin(range);
  std::end(range);
}
&&Awaitable<detail::ElementOf<X>>;

// The same, or a range of AnyFuture or AnyTask.
template <class X>
concept WaitableRange = requires(X& range) {
  std::begin(range);
  std::end(range);
}
&&(Awaitable<detail::ElementOf<X>> || detail::HandleLike<detail::ElementOf<X>>);

namespace detail {

// The elements: copied from a named range, moved out of a temporary one.
template <class X>
std::vector<ElementOf<X>> elements_of(X&& range) {
  std::vector<ElementOf<X>> elements;
  for (auto&& element : range) {
    if constexpr (std::is_lvalue_reference_v<X>) {
      elements.push_back(element);
    } else {
      elements.push_back(std::move(element));
    }
  }
  return elements;
}

// The future type for an input: a handle keeps its type, anything else becomes a task.
template <class X>
auto future_on(LoopCore& loop, X&& awaitable) {
  if constexpr (HandleLike<X>) {
    if (&awaitable.state().loop() != &loop) throw_wrong_loop();
    return std::remove_cvref_t<X>(std::forward<X>(awaitable));
  } else {
    return ensure_on(loop, std::forward<X>(awaitable));
  }
}
template <class X>
using FutureOf = decltype(future_on(std::declval<LoopCore&>(), std::declval<X>()));

// For each address whether it is the first of its kind; empty: none is there twice.
std::vector<char> first_ones(const std::vector<const void*>& addresses);

// The distinct futures, in input order.
template <class F>
void remove_duplicates(std::vector<F>& futures) {
  std::vector<const void*> addresses;
  addresses.reserve(futures.size());
  for (const F& future : futures) addresses.push_back(future.ref().get());
  const std::vector<char> first = first_ones(addresses);
  if (first.empty()) return;
  std::vector<F> distinct;
  for (std::size_t i = 0; i < futures.size(); ++i) {
    if (first[i] != 0) distinct.push_back(std::move(futures[i]));
  }
  futures = std::move(distinct);
}

}  // namespace detail
}  // namespace aiofiber
