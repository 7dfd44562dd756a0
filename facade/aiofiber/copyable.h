// SPDX-License-Identifier: Apache-2.0
//
// is_copyable<T>: whether a result of type T can really be copied.
//
// std::is_copy_constructible is true for std::vector<std::unique_ptr<X>>: the copy constructor is declared,
// and only its use is an error. aiofiber copies a result while others can still see it, and moves it
// otherwise, so the answer must be right. is_copyable therefore checks the elements of containers and of the
// standard library's wrappers, at any depth.
//
// A class with such a container as a member still looks copyable to the compiler. Delete its copy
// constructor, or declare this beside its definition:
//   template <> inline constexpr bool aiofiber::is_copyable<Page> = false;
#pragma once

#include <array>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace aiofiber {

template <class T>
class Result;

namespace detail {
template <class T>
constexpr bool looks_copyable();
}

// Whether a T can be copied; more exact than std::is_copy_constructible (see above).
template <class T>
inline constexpr bool is_copyable = detail::looks_copyable<T>();
// A const T is copied as a T.
template <class T>
inline constexpr bool is_copyable<const T> = is_copyable<T>;

namespace detail {

// The standard's wrappers: their copy constructors exist if those of the parts are declared.
template <class T>
struct PartsCopyable : std::true_type {};
template <class... T>
struct PartsCopyable<std::tuple<T...>> : std::bool_constant<(is_copyable<T> && ...)> {};
template <class... T>
struct PartsCopyable<std::variant<T...>> : std::bool_constant<(is_copyable<T> && ...)> {};
template <class A, class B>
struct PartsCopyable<std::pair<A, B>> : std::bool_constant<is_copyable<A> && is_copyable<B>> {};
template <class T>
struct PartsCopyable<std::optional<T>> : std::bool_constant<is_copyable<T>> {};
template <class T, std::size_t N>
struct PartsCopyable<std::array<T, N>> : std::bool_constant<is_copyable<T>> {};
template <class T>
struct PartsCopyable<Result<T>> : std::bool_constant<is_copyable<T>> {};

// True if T owns its elements: a container has an allocator, an adaptor such as std::queue has a container.
// Views and iterators have neither.
template <class T>
concept OwnsElements = requires {
  typename T::value_type;
}
&&(
    requires { typename T::allocator_type; } || requires { typename T::container_type; });

template <class T>
constexpr bool looks_copyable() {
  if constexpr (std::is_void_v<T> || std::is_reference_v<T>) {
    return true;
  } else if constexpr (!std::is_copy_constructible_v<T>) {
    return false;
  } else if constexpr (OwnsElements<T>) {
    // A type that contains itself (a tree node with a container of nodes) needs no second check.
    if constexpr (std::is_same_v<std::remove_cv_t<typename T::value_type>, T>) {
      return true;
    } else {
      return is_copyable<typename T::value_type>;
    }
  } else {
    return PartsCopyable<T>::value;
  }
}

}  // namespace detail
}  // namespace aiofiber
