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
//
//     auto task = asyncio::create_task([] { return std::string("text"); });
//     const std::string& seen = asyncio::await(task);        // a named handle: look
//     assert(seen == "text");
//     std::string taken = asyncio::await(std::move(task));   // no longer named: take
//     assert(taken == "text");
//
// Wrong: await() in a callback of call_soon(), where there is no task to suspend (RuntimeError); and a
// reference like `seen` that is used after its future is gone.
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
// Where they wait, no local variable of theirs has a destructor. In a noexcept function into which g++
// inlines them, such a variable would hide from throw_would_terminate() that exceptions end there. Code that
// needs such variables is therefore in functions that are not inlined.
namespace detail {
AIOFIBER_ALWAYS_INLINE void wait_done(FutureBase& future, WaitHandle handle) {
  TaskCore& task = require_current_task();
  if (!future.done()) task.wait_for_future(future, handle);
}

// Calls fn(argument), which is not inlined, and is no tail call.
template <class R, class A>
AIOFIBER_ALWAYS_INLINE R call_without_tail_call(R (*fn)(A&), A& argument) {
  if constexpr (std::is_void_v<R>) {
    fn(argument);
    asm volatile("");
  } else {
    R result = fn(argument);
    asm volatile("");
    return static_cast<R&&>(result);
  }
}

// The result of awaiting a Coro in the current task (coro.h).
template <class T>
T drive_here(Coro<T>& coroutine);

template <class F>
AIOFIBER_NOINLINE Awaited<std::invoke_result_t<F&>> call_here(F& callable) {
  require_current_task();
  if constexpr (IsCoro<std::invoke_result_t<F&>>::value) {
    auto coroutine = std::invoke(callable);
    return drive_here(coroutine);
  } else {
    return std::invoke(callable);
  }
}
}  // namespace detail

template <class T>
AIOFIBER_ALWAYS_INLINE std::add_lvalue_reference_t<const T> await(const Future<T>& future) {
  static_assert(std::is_void_v<T> || std::is_reference_v<T> || std::is_copy_constructible_v<T>,
                "this result can only be moved: use await(std::move(future)) to take it");
  detail::wait_done(future.state(), {.address = &future, .reads_result = true});
  return future.result();
}
// The handle is empty afterwards, unless the wait was cancelled.
template <class T>
AIOFIBER_ALWAYS_INLINE T await(Future<T>&& future) {
  detail::wait_done(future.state(), {.address = &future, .taken = true, .reads_result = true});
  Future<T> taken(std::move(future));
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
// Calls it here, in the current task, and gives what it returns. Does not suspend by itself. Errors: those of
// the callable; RuntimeError outside a task.
template <class A>
requires detail::CallableLike<A> AIOFIBER_ALWAYS_INLINE ResultOf<A> await(A&& callable) {
  return detail::call_without_tail_call<ResultOf<A>, std::remove_reference_t<A>>(&detail::call_here,
                                                                                 callable);
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
