// SPDX-License-Identifier: Apache-2.0
//
// await(): the one function that suspends.
//
// A task may call it at any depth of its call stack, also in catch blocks and in callbacks of C libraries.
// await() reads the value of a named future and moves it out of a temporary one. It does not give up control
// if the awaitable is done already, or is a coroutine that never suspends.
// Cancellation: a cancellation point whenever it suspends. In a noexcept frame or a destructor the
// CancelledError is kept back until the next await that can raise it. Errors: RuntimeError outside a task;
// CancelledError; the exception of the awaitable.
#pragma once

#include <type_traits>
#include <utility>

#include "aiofiber/awaitable.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/future.h"
#include "aiofiber/not_awaitable.h"
#include "aiofiber/task_core.h"

namespace aiofiber {

// These functions are inlined into the caller. A tail call to them would remove the caller's frame from the
// stack of the suspended task.
namespace detail {
AIOFIBER_ALWAYS_INLINE void wait_done(FutureBase& future, WaitHandle handle) {
  TaskCore& task = require_current_task();
  if (!future.done()) task.wait_for_future(future, handle);
}
}  // namespace detail

template <class T>
AIOFIBER_ALWAYS_INLINE std::add_lvalue_reference_t<const T> await(const Future<T>& future) {
  static_assert(std::is_void_v<T> || std::is_reference_v<T> || std::is_copy_constructible_v<T>,
                "this result can only be moved: use await(std::move(future)) to take it");
  detail::wait_done(future.state(), {.address = &future});
  return future.result();
}
template <class T>
AIOFIBER_ALWAYS_INLINE T await(Future<T>&& future) {
  Future<T> taken(std::move(future));
  detail::wait_done(taken.state(), {.address = &taken, .taken = true});
  return std::move(taken).result();
}
template <class T>
AIOFIBER_ALWAYS_INLINE T await(Coroutine<T>&& coroutine) {
  if (AIOFIBER_UNLIKELY(detail::current_task_core_with_stack() == nullptr)) {
    coroutine.close();  // no never-awaited report: the error below is enough
    detail::throw_outside_task();
  }
  return coroutine.run();
}
template <class T>
T await(Coroutine<T>& coroutine) {
  detail::require_current_task();
  return coroutine.run();
}
template <class T>
T await(Coro<T>&& coroutine);  // coro.h
template <class A>
requires detail::CallableLike<A> AIOFIBER_ALWAYS_INLINE ResultOf<A> await(A&& callable) {
  detail::require_current_task();
  if constexpr (detail::IsCoro<std::invoke_result_t<A&>>::value) {
    return aiofiber::await(std::invoke(callable));
  } else {
    return std::invoke(callable);
  }
}

template <class A>
auto EventLoop::run_until_complete(A&& awaitable) {
  static_assert(Awaitable<A>,
                "run_until_complete takes a future, a task, a Coroutine or a callable without arguments");
  core_->check_open();
  check_can_run();
  constexpr bool made_here = !detail::FutureLike<A>;
  auto future = ensure_future(std::forward<A>(awaitable), this);
  run_until_done(future.state(), made_here);
  return std::move(future).result();
}

}  // namespace aiofiber
