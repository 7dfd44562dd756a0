// SPDX-License-Identifier: Apache-2.0
//
// repr_of(value): how Python would write a value inside `<Future finished result=...>`.
//
// Booleans, numbers and texts as Python spells them, anything with a repr() of its own by that, and `...` for
// the rest: a type needs no way to be printed to be the result of a future.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

namespace aiofiber::detail {

std::string quote(std::string_view text);
std::string number(double value);

template <class T>
std::string repr_of(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return value ? "True" : "False";
  } else if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (std::floating_point<T>) {
    return number(static_cast<double>(value));
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return quote(value);
  } else if constexpr (requires {
                         { repr(value) } -> std::convertible_to<std::string>;
                       }) {
    return repr(value);
  } else {
    return "...";
  }
}

}  // namespace aiofiber::detail
