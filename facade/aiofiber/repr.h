// SPDX-License-Identifier: Apache-2.0
//
// repr_of(value): a value as Python writes it inside `<Future finished result=...>`.
//
// Booleans, numbers and texts appear as in Python. A type with its own repr() uses that. Any other value
// appears as `...`: the result of a future needs no way to be printed.
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
