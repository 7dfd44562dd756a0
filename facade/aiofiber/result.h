// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: a value or an exception; gather(return_exceptions, ...) gives one for each input.
//
// T may be a reference or void. Reading the wrong one of the two throws, as std::expected's value() does.
// It is a plain value: it refers to no future and can be kept after the loop is gone.
#pragma once

#include <exception>
#include <functional>
#include <type_traits>
#include <utility>
#include <variant>

#include "aiofiber/copyable.h"
#include "aiofiber/exceptions.h"

namespace aiofiber {

// How a value of type T is stored: references as reference_wrapper, void as monostate.
template <class T>
using Stored = std::conditional_t<
    std::is_void_v<T>, std::monostate,
    std::conditional_t<std::is_reference_v<T>, std::reference_wrapper<std::remove_reference_t<T>>,
                       std::remove_cv_t<T>>>;

// void becomes std::monostate, any other type stays: a type that a tuple or vector can hold.
template <class T>
using Unvoid = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

// A value, or the exception or cancellation that came in its place: an item of gather(return_exceptions,
// ...).
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  // With a value.
  Result(Stored<T> value) : content_(std::in_place_index<0>, std::move(value)) {}
  // With an exception. TypeError: null.
  Result(std::exception_ptr exception) : content_(std::in_place_index<1>, std::move(exception)) {
    if (std::get<1>(content_) == nullptr)
      throw TypeError("invalid exception object: the exception_ptr is null");
  }

  bool has_value() const noexcept { return content_.index() == 0; }  // false: it has an exception
  // As has_value().
  explicit operator bool() const noexcept { return has_value(); }

  // The value; throws the exception if there is one instead.
  decltype(auto) value() const& {
    check();
    if constexpr (!std::is_void_v<T>)
      return static_cast<const std::remove_reference_t<T>&>(std::get<0>(content_));
  }
  // The same, moved out.
  T value() && {
    check();
    if constexpr (std::is_reference_v<T>) {
      return std::get<0>(content_).get();
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(std::get<0>(content_));
    }
  }
  decltype(auto) operator*() const& { return value(); }  // as value()
  // The exception, or null.
  std::exception_ptr exception() const noexcept { return has_value() ? nullptr : std::get<1>(content_); }

 private:
  void check() const {
    if (!has_value()) std::rethrow_exception(std::get<1>(content_));
  }
  std::variant<Stored<T>, std::exception_ptr> content_;
};

}  // namespace aiofiber
