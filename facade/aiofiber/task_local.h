// SPDX-License-Identifier: Apache-2.0
//
// Task-local variables: each task has a value of its own, made at its first use and destroyed at its end.
//
// What a thread_local is to a thread. Unlike a ContextVar, a new task does not inherit a value. For code that
// is not to be changed: hooks::per_task() (<aiofiber/hooks.h>).
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace aiofiber {

namespace detail {
// The value for the running task, or outside tasks for the thread; null: there is none.
void* find_task_local(const void* variable) noexcept;
// Keeps a value, which must not be there yet. Errors: std::bad_alloc; the value is then still the caller's.
void keep_task_local(const void* variable, void* value, void (*destroy)(void*));
void drop_task_local(const void* variable) noexcept;
}  // namespace detail

// A variable with a value per task; make it a global or a static. Its address is its identity. Code outside
// tasks (callbacks, other threads) has a value per thread.
//   static asyncio::TaskLocal<Statistics> statistics;
//   statistics->requests += 1;
// Lifetime: at least that of every task that uses it. A value is destroyed at the end of its task, after the
// task's function, in reverse order of first use; an abandoned task's never.
// Threads: any, each has its own values. Cancellation: never a cancellation point.
template <class T>
class TaskLocal {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a TaskLocal has a value that can change");
  static_assert(std::is_nothrow_destructible_v<T>, "the value must not throw when it is destroyed");

 public:
  // Values begin as T().
  TaskLocal() requires std::default_initializable<T>
  = default;
  // Values begin as make() returns them; called by the task that needs one.
  template <class Make>
  requires std::is_invocable_r_v<T, Make&>
  explicit TaskLocal(Make make) : make_(std::move(make)) {}
  TaskLocal(const TaskLocal&) = delete;
  TaskLocal& operator=(const TaskLocal&) = delete;

  // The running task's value, made if needed. Errors: those of making it; std::bad_alloc.
  T& get() {
    if (void* const known = detail::find_task_local(this)) return *static_cast<T*>(known);
    std::unique_ptr<T> made = make();
    detail::keep_task_local(this, made.get(), [](void* value) { delete static_cast<T*>(value); });
    return *made.release();
  }
  T& operator*() { return get(); }    // as get()
  T* operator->() { return &get(); }  // as get()
  // Whether the running task has a value already.
  bool has_value() const noexcept { return detail::find_task_local(this) != nullptr; }
  // Destroys the running task's value; the next use makes a new one.
  void reset() noexcept { detail::drop_task_local(this); }

 private:
  std::unique_ptr<T> make() {
    if constexpr (std::default_initializable<T>) {
      if (make_ == nullptr) return std::make_unique<T>();
    }
    return std::unique_ptr<T>(new T(make_()));
  }

  std::function<T()> make_;
};

}  // namespace aiofiber
