// SPDX-License-Identifier: Apache-2.0
//
// The text of exceptions: Python's names for ours and for the standard library's, else the C++ name. And the
// members of groups.
#include "aiofiber/exceptions.h"

#include <absl/strings/str_cat.h>
#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <system_error>
#include <typeinfo>
#include <vector>

#include "aiofiber/exception_group.h"
#include "core/one_by_one.h"
#include "core/text.h"

namespace aiofiber {

namespace {

// The type of an exception and its text, as a traceback shows them.
struct Description {
  std::string type;
  std::string text;
  bool has_text = false;
  std::string arguments() const { return has_text ? detail::quote(text) : std::string(); }
};

std::string current_type_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr ? detail::type_name(*type) : std::string("foreign exception");
}

// aiofiber's own types have asyncio's names.
std::string short_name(std::string name) {
  const std::string prefix = "aiofiber::";
  return name.starts_with(prefix) && name.find("::", prefix.size()) == std::string::npos
             ? name.substr(prefix.size())
             : name;
}

Description group(const char* type, const detail::GroupMembers& members) {
  Description description{type, members.message(), true};
  return description;
}

Description describe(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const CancelledError& e) {
    return {"CancelledError", std::string(e.message()), e.has_message()};
  } catch (const KeyboardInterrupt& e) {
    return {"KeyboardInterrupt", e.message(), !e.message().empty()};
  } catch (const SystemExit& e) {
    return {"SystemExit", e.message().empty() ? absl::StrCat(e.code()) : e.message(), true};
  } catch (const ExceptionGroup& e) {
    return group("ExceptionGroup", e);
  } catch (const BaseExceptionGroup& e) {
    return group("BaseExceptionGroup", e);
  } catch (const std::exception& e) {
    const std::string text = e.what();
    return {short_name(current_type_name()), text, !text.empty()};
  } catch (...) {
    return {short_name(current_type_name()), "", false};
  }
}

const std::vector<std::exception_ptr>* members_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const ExceptionGroup& e) {
    return &e.exceptions();
  } catch (const BaseExceptionGroup& e) {
    return &e.exceptions();
  } catch (...) {
    return nullptr;
  }
}

}  // namespace

namespace {

// Groups may be nested as deep as memory allows. Their texts show this many groups in each other.
constexpr int kMostReprLevels = 100;
constexpr int kMostLevels = 10;  // max_group_depth of Python's tracebacks

std::string repr_to_level(const std::exception_ptr& exception, int level) {
  if (exception == nullptr) return "None";
  const Description description = describe(exception);
  std::string text = description.type + "(" + description.arguments();
  if (const auto* members = members_of(exception)) {
    text += ", [";
    if (level + 1 == kMostReprLevels) {
      text += "...";
    } else {
      for (std::size_t i = 0; i < members->size(); ++i)
        text += (i > 0 ? ", " : "") + repr_to_level((*members)[i], level + 1);
    }
    text += "]";
  }
  return text + ")";
}

std::string format_to_level(const std::exception_ptr& exception, int level) {
  if (exception == nullptr) return "None";
  const auto* members = members_of(exception);
  if (members != nullptr && level >= kMostLevels)
    return absl::StrCat("... (max_group_depth is ", kMostLevels, ")");
  const Description description = describe(exception);
  std::string text = description.type + (description.text.empty() ? "" : ": " + description.text);
  if (members != nullptr) {
    absl::StrAppend(&text, " (", members->size(), " sub-exception", members->size() == 1 ? "" : "s", ")");
    for (const std::exception_ptr& member : *members)
      absl::StrAppend(&text, "\n  | ", format_to_level(member, level + 1));
  }
  return text;
}

}  // namespace

CancelledError::CancelledError(std::string message)
    : message_(std::make_shared<const std::string>(std::move(message))) {}

std::string repr(const std::exception_ptr& exception) { return repr_to_level(exception, 0); }
std::string format_exception(const std::exception_ptr& exception) { return format_to_level(exception, 0); }

namespace {
// Python's messages.
void check_members(const std::vector<std::exception_ptr>& exceptions) {
  if (exceptions.empty()) throw ValueError("second argument (exceptions) must be a non-empty sequence");
  const auto null = std::find(exceptions.begin(), exceptions.end(), nullptr);
  if (null == exceptions.end()) return;
  throw ValueError(absl::StrCat("Item ", null - exceptions.begin(),
                                " of second argument (exceptions) is not an exception"));
}
}  // namespace

IncompleteReadError::IncompleteReadError(std::string partial, std::optional<std::size_t> expected)
    : std::runtime_error(absl::StrCat(partial.size(), " bytes read on a total of ",
                                      expected ? absl::StrCat(*expected) : "undefined", " expected bytes")),
      partial_(std::make_shared<const std::string>(std::move(partial))),
      expected_(expected) {}

detail::GroupMembers::GroupMembers(std::string message, std::vector<std::exception_ptr> exceptions) {
  check_members(exceptions);
  // A group that holds groups is destroyed one by one with them.
  struct Linked : Body {
    Linked(std::string text, std::vector<std::exception_ptr> members)
        : Body{std::move(text), std::move(members)} {}
    Linked* next = nullptr;
  };
  struct OneByOne {
    static Linked*& next(Linked& body) noexcept { return body.next; }
    static void release(Linked& body) noexcept { delete &body; }
  };
  body_ = std::shared_ptr<Linked>(new Linked(std::move(message), std::move(exceptions)),
                                  [](Linked* body) { release_one_by_one<Linked, OneByOne>(*body); });
}

ExceptionGroup::ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions)
    : GroupMembers(std::move(message), std::move(exceptions)) {
  const std::size_t count = this->exceptions().size();
  what_ = std::make_shared<const std::string>(
      absl::StrCat(this->message(), " (", count, " sub-exception", count == 1 ? ")" : "s)"));
}

std::exception_ptr make_exception_group(std::string message, std::vector<std::exception_ptr> exceptions) {
  check_members(exceptions);
  const bool ordinary = std::all_of(exceptions.begin(), exceptions.end(), detail::holds<std::exception>);
  if (ordinary) return std::make_exception_ptr(ExceptionGroup(std::move(message), std::move(exceptions)));
  return std::make_exception_ptr(BaseExceptionGroup(std::move(message), std::move(exceptions)));
}

namespace detail {

bool leaves_the_loop(const std::exception_ptr& exception) noexcept {
  return holds<KeyboardInterrupt>(exception) || holds<SystemExit>(exception);
}

bool is_cancelled_error(const std::exception_ptr& exception) noexcept {
  return exception != nullptr && holds<CancelledError>(exception);
}

CancelledError cancelled_error(std::string_view message) noexcept {
  try {
    if (!message.empty()) return CancelledError(std::string(message));
  } catch (const std::bad_alloc&) {
    // The request matters more than its text.
  }
  return CancelledError();
}

std::exception_ptr make_cancelled(std::string_view message) noexcept {
  return std::make_exception_ptr(cancelled_error(message));
}

}  // namespace detail

}  // namespace aiofiber
