// SPDX-License-Identifier: Apache-2.0
//
// Values as Python prints them, so that a C++ trace can be compared with CPython's byte for byte.
//
//   py(x)    the text of Python's repr(): True, None, 0.1, 'text', [1, 'a'], (1, None)
//   str(x)   the text of Python's str(): the same, but a string has no quotes
//
// The shape of a value (an optional, a range, a tuple, a type with value() and exception()) decides its text,
// not a list of the library's types, so this file can be tested without the library. Two more shapes: a type
// with a member py_repr() provides its own text, and exc() of conf.h prints a std::exception_ptr.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace conf {

// Type and message of an exception: ValueError('x'), CancelledError(), None for nullptr. Defined in conf.cc.
std::string exc(const std::exception_ptr& exception);

// 'text', or "text" if it holds a single quote and no double one; control characters are escaped. Bytes above
// 0x7f pass unchanged: the traces are UTF-8.
std::string py_string(std::string_view text);

// The shortest text that reads back as the same number, in Python's choice of notation: 0.1, 5.0, 1e+16,
// 1e-05.
std::string py_float(double number);

namespace detail {

template <class T>
concept Renders = requires(const T& value) {
  { value.py_repr() } -> std::convertible_to<std::string>;
};
template <class T>
concept Text = std::convertible_to<const T&, std::string_view>;
template <class T>
concept Nothing =
    std::same_as<T, std::nullptr_t> || std::same_as<T, std::nullopt_t> || std::same_as<T, std::monostate>;
template <class T>
concept Outcome = requires(const T& value) {  // Result<R>: a value or an exception
  { value.has_value() } -> std::convertible_to<bool>;
  { value.exception() } -> std::convertible_to<std::exception_ptr>;
  value.value();
};
template <class T>
concept Optional = requires(const T& value) {
  { value.has_value() } -> std::convertible_to<bool>;
  *value;
}
&&!Outcome<T>;
template <class T>
concept Tuple = requires {
  std::tuple_size<T>::value;
}
&&!std::ranges::range<T>;
template <class T>
concept TimePoint = requires(const T& value) {
  std::chrono::duration<double>(value.time_since_epoch());
};
template <class T>
concept Printable = requires(const T& value) {
  { repr(value) } -> std::convertible_to<std::string>;
};

}  // namespace detail

template <class T>
std::string py(const T& value);

// The items of a tuple without brackets: 1, 'a'.
template <class T>
std::string py_items(const T& tuple) {
  std::string text;
  std::apply([&](const auto&... item) { ((text += (text.empty() ? "" : ", ") + py(item)), ...); }, tuple);
  return text;
}

template <class T>
std::string py(const T& value) {
  if constexpr (detail::Renders<T>) {
    return value.py_repr();
  } else if constexpr (std::same_as<T, bool>) {
    return value ? "True" : "False";
  } else if constexpr (detail::Nothing<T>) {
    return "None";
  } else if constexpr (std::same_as<T, char>) {
    return py_string(std::string_view(&value, 1));
  } else if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (std::floating_point<T>) {
    return py_float(static_cast<double>(value));
  } else if constexpr (detail::Text<T>) {
    return py_string(value);
  } else if constexpr (std::same_as<T, std::exception_ptr>) {
    return exc(value);
  } else if constexpr (detail::Outcome<T>) {
    // gather(return_exceptions): Python's scenarios print an error in the list as the string exc(error).
    if (!value.has_value()) return py_string(exc(value.exception()));
    if constexpr (std::is_void_v<decltype(value.value())>) {
      return "None";
    } else {
      return py(value.value());
    }
  } else if constexpr (detail::Optional<T>) {
    return value.has_value() ? py(*value) : "None";
  } else if constexpr (detail::TimePoint<T>) {
    // asyncio's times are seconds as a float. Nanoseconds divided by 1e9 give the nearest double, as Python
    // has it.
    using Nanoseconds = std::chrono::duration<double, std::nano>;
    return py_float(Nanoseconds(value.time_since_epoch()).count() / 1e9);
  } else if constexpr (std::ranges::range<T>) {
    std::string text;
    for (const auto& item : value) text += (text.empty() ? "" : ", ") + py(item);
    return "[" + text + "]";
  } else if constexpr (detail::Tuple<T>) {
    return "(" + py_items(value) + (std::tuple_size_v<T> == 1 ? ",)" : ")");
  } else {
    static_assert(detail::Printable<T>, "py(): teach it this type, or give the type a py_repr() or a repr()");
    return repr(value);
  }
}

template <class T>
std::string str(const T& value) {
  if constexpr (detail::Text<T> && !detail::Renders<T>) {
    return std::string(std::string_view(value));
  } else {
    return py(value);
  }
}

}  // namespace conf
