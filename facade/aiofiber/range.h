// SPDX-License-Identifier: Apache-2.0
//
// Ranges as gather, wait and as_completed take them: anything with begin() and end(), without <ranges>.
// The concepts require only what these functions use. A vector, a span and a program's own container all fit.
// Elements are moved out of a temporary range.
#pragma once

#include <algorithm>
#include <functional>
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

// The distinct futures, in input order.
template <class F>
void remove_duplicates(std::vector<F>& futures) {
  std::vector<const void*> seen;
  seen.reserve(futures.size());
  for (const F& future : futures) seen.push_back(future.ref().get());
  std::sort(seen.begin(), seen.end(), std::less<>());
  if (std::adjacent_find(seen.begin(), seen.end()) == seen.end()) return;
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  std::vector<char> taken(seen.size());
  std::vector<F> distinct;
  for (F& future : futures) {
    const void* identity = future.ref().get();
    const auto place = std::lower_bound(seen.begin(), seen.end(), identity, std::less<>());
    if (std::exchange(taken[static_cast<std::size_t>(place - seen.begin())], 1) != 0) continue;
    distinct.push_back(std::move(future));
  }
  futures = std::move(distinct);
}

}  // namespace detail
}  // namespace aiofiber
