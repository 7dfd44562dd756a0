// SPDX-License-Identifier: Apache-2.0
//
// Context variables (PEP 567): values that follow a task and the callbacks it schedules.
//
// A Context is a handle to a mutable holder of an immutable map. A new task copies only the pointer to the
// map. A program without context variables pays nothing.
//
//     static asyncio::ContextVar<std::string> user("user", "nobody");
//     user.set("ann");
//     auto task = asyncio::create_task([] { user.set("bob"); });  // begins with a copy: "ann"
//     asyncio::await(task);
//     assert(user.get() == "ann");
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/exceptions.h"

namespace aiofiber {

namespace detail {

// An immutable map from variables (by identity) to values.
using ContextMap = std::vector<std::pair<const void*, std::shared_ptr<const void>>>;
struct ContextData {
  std::shared_ptr<const ContextMap> map;
};
// The holder that set() changes: the current task's, the running callback's, or the thread's. May be null
// until the first set().
std::shared_ptr<ContextData>& current_context_data();
// The running task's holder; null outside a task (task.cc).
std::shared_ptr<ContextData>* current_task_context();
std::shared_ptr<const void> context_lookup(const void* variable);
void context_assign(const void* variable, std::shared_ptr<const void> value);
// A copy for a new task or callback; null when there is nothing to inherit.
std::shared_ptr<ContextData> inherit_context();

}  // namespace detail

// The result of copy_context() and the type of TaskOptions::context. Copies of the handle are the same
// context.
class Context {
 public:
  Context();
  explicit Context(std::shared_ptr<detail::ContextData> data) : data_(std::move(data)) {}
  // Calls fn() with this context as the current one; values that fn sets stay in it.
  template <class F>
  decltype(auto) run(F&& fn) const {
    struct Swap {
      std::shared_ptr<detail::ContextData>& slot;
      std::shared_ptr<detail::ContextData> saved;
      ~Swap() { slot.swap(saved); }
    } swap{detail::current_context_data(), data_};
    swap.slot.swap(swap.saved);
    return std::forward<F>(fn)();
  }
  const std::shared_ptr<detail::ContextData>& data() const noexcept { return data_; }

 private:
  std::shared_ptr<detail::ContextData> data_;
};

// A copy of the current context.
Context copy_context();

// A context variable; make it a global. Its address is its identity.
template <class T>
class ContextVar {
 public:
  // Undoes one set().
  struct Token {
    std::shared_ptr<const void> previous;  // the value before set(); null: none
  };

  // `name` is for messages only. Without a default, get() fails where nothing was set.
  explicit ContextVar(std::string name, std::optional<T> default_value = std::nullopt)
      : name_(std::move(name)), default_(std::move(default_value)) {}
  ContextVar(const ContextVar&) = delete;
  ContextVar& operator=(const ContextVar&) = delete;

  const std::string& name() const noexcept { return name_; }  // as it was constructed
  // The value in the current context, else the default. Errors: RuntimeError (Python's LookupError) when
  // there is none.
  const T& get() const {
    if (const auto value = detail::context_lookup(this)) return *static_cast<const T*>(value.get());
    if (!default_) throw RuntimeError("ContextVar '" + name_ + "' has no value here and no default");
    return *default_;
  }
  // The value in the current context, else `fallback` (not the default). Source:
  // contextvars.ContextVar.get().
  T get(T fallback) const {
    const auto value = detail::context_lookup(this);
    return value ? *static_cast<const T*>(value.get()) : std::move(fallback);
  }
  // Sets the value in the current context only: that of the running task or callback, else the thread's. The
  // token undoes it.
  Token set(T value) {
    Token token{detail::context_lookup(this)};
    detail::context_assign(this, std::make_shared<const T>(std::move(value)));
    return token;
  }
  // Makes the value what it was before the set() that gave the token. If there was none, there is none again.
  void reset(Token token) { detail::context_assign(this, std::move(token.previous)); }

 private:
  std::string name_;
  std::optional<T> default_;
};

}  // namespace aiofiber
