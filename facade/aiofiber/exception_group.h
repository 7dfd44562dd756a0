// SPDX-License-Identifier: Apache-2.0
//
// Several exceptions at once (PEP 654): a TaskGroup throws them.
//
// ExceptionGroup is an ordinary error and contains only ordinary errors. BaseExceptionGroup has no base class
// and may contain anything, also KeyboardInterrupt. make_exception_group() picks the right type.
//
//     try {
//       asyncio::await(asyncio::task_group([](asyncio::TaskGroup& group) {
//         group.create_task([] { throw std::runtime_error("no such host"); });
//       }));
//       assert(false);
//     } catch (const asyncio::ExceptionGroup& group) {
//       assert(group.exceptions().size() == 1);
//     }
#pragma once

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace aiofiber {

namespace detail {

template <class E>
bool holds(const std::exception_ptr& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}

// The common part of both groups. Copies share the list.
class GroupMembers {
 public:
  // ValueError: no members, or a null member.
  GroupMembers(std::string message, std::vector<std::exception_ptr> exceptions);
  const std::string& message() const noexcept { return body_->message; }
  // In the order in which they were raised; never empty.
  const std::vector<std::exception_ptr>& exceptions() const noexcept { return body_->exceptions; }

 private:
  struct Body {
    std::string message;
    std::vector<std::exception_ptr> exceptions;
  };
  std::shared_ptr<const Body> body_;
};

}  // namespace detail

// Several errors in one, none of them a cancellation. Source: Python's ExceptionGroup.
class ExceptionGroup : public std::exception, public detail::GroupMembers {
 public:
  // ValueError, as for GroupMembers.
  ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions);
  // The message and the number of members: "errors (2 sub-exceptions)".
  const char* what() const noexcept override { return what_->c_str(); }

  // The members of type E, also of nested groups (each match keeps its nesting); null if there are none.
  template <class E>
  std::exception_ptr subgroup() const {
    return split<E>().first;
  }
  // {the members of type E, the others}; either may be null.
  template <class E>
  std::pair<std::exception_ptr, std::exception_ptr> split() const;

 private:
  std::shared_ptr<const std::string> what_;
};

class BaseExceptionGroup : public detail::GroupMembers {
 public:
  using GroupMembers::GroupMembers;
};

// An ExceptionGroup, or a BaseExceptionGroup if any member does not derive from std::exception. ValueError:
// no members, or a null member.
std::exception_ptr make_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

template <class E>
std::pair<std::exception_ptr, std::exception_ptr> ExceptionGroup::split() const {
  std::vector<std::exception_ptr> matching, rest;
  for (const std::exception_ptr& member : exceptions()) {
    if (detail::holds<E>(member)) {
      matching.push_back(member);
      continue;
    }
    try {
      std::rethrow_exception(member);
    } catch (const ExceptionGroup& group) {
      auto [inside, outside] = group.split<E>();
      if (inside) matching.push_back(inside);
      if (outside) rest.push_back(outside);
    } catch (...) {
      rest.push_back(member);
    }
  }
  auto wrap = [&](std::vector<std::exception_ptr>& members) -> std::exception_ptr {
    return members.empty() ? nullptr : make_exception_group(message(), std::move(members));
  };
  return {wrap(matching), wrap(rest)};
}

}  // namespace aiofiber
