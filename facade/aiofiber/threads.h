// SPDX-License-Identifier: Apache-2.0
//
// to_thread(): a blocking function, awaited. Source: asyncio.to_thread.
//
// The thread belongs to the loop's default executor (executor.h); the context variables of the caller are
// seen there, in a copy.
#pragma once

#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/context.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/executor.h"

namespace aiofiber {

// Calls fn(args...) on a thread of the loop's default executor, with a copy of the current context, and gives its result.
// Arguments are decay-copied. Nothing starts before it is awaited or made a task.
// Cancellation: a cancellation point; a call that has begun goes on without being waited for, so it must not refer
// to what the cancelled task owns. Errors: what fn throws; RuntimeError when the executor was shut down.
template <class F, class... Args>
Coroutine<detail::CallResult<F, Args...>> to_thread(F&& fn, Args&&... args) {
  using R = detail::CallResult<F, Args...>;
  return Coroutine<R>([call = detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...)]() mutable -> R {
    return await(get_running_loop().run_in_executor(
        nullptr, [context = copy_context(), moved = std::move(call)]() mutable -> R {
          return context.run([&]() -> R { return moved(); });
        }));
  });
}

}  // namespace aiofiber
