// SPDX-License-Identifier: Apache-2.0
//
// to_thread(): awaits a blocking function on another thread. Source: asyncio.to_thread.
//
// The thread belongs to the loop's default executor (executor.h). The function sees a copy of the caller's
// context variables.
//
//     std::vector<int> numbers(100, 1);
//     auto add = [numbers] { return std::accumulate(numbers.begin(), numbers.end(), 0); };
//     auto sum = asyncio::to_thread(add);
//     assert(asyncio::await(std::move(sum)) == 100);
//
// Wrong: `[&]` there. If the task is cancelled, the call goes on, and its variables are gone.
#pragma once

#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/context.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/executor.h"

namespace aiofiber {

namespace detail {
template <class R, class Call>
struct ToThread {
  EntryInfo called;
  Call call;

  R operator()() { return await(begin()); }
  Coro<R> stackless_form() { return await_future(begin()); }
  EntryInfo entry() const noexcept { return called; }

 private:
  static Coro<R> await_future(Future<R> future) { co_return co_await std::move(future); }
  Future<R> begin() {
    auto in_context = [context = copy_context(), moved = std::move(call)]() mutable -> R {
      return context.run([&]() -> R { return moved(); });
    };
    return call_in_executor(get_running_loop(), nullptr, called, std::move(in_context));
  }
};
}  // namespace detail

// Calls fn(args...) on a thread of the loop's default executor, with a copy of the current context, and gives
// its result. Arguments are decay-copied. The call starts when it is awaited or made a task. Cancellation: a
// cancellation point. A call that has begun goes on, and nothing waits for it, so it must not refer to data
// of the cancelled task. Errors: the exception of fn; RuntimeError when the executor was shut down.
template <class F, class... Args>
Coroutine<detail::CallResult<F, Args...>> to_thread(F&& fn, Args&&... args) {
  using R = detail::CallResult<F, Args...>;
  return Coroutine<R>(
      detail::ToThread<R, decltype(detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...))>{
          detail::entry_of(fn), detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...)});
}

}  // namespace aiofiber
