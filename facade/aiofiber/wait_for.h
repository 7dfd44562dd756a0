// SPDX-License-Identifier: Apache-2.0
//
// wait_for(): one awaitable with a time limit. Source: asyncio.wait_for (3.13): timeout() around an await.
// At the limit the awaitable is cancelled. wait_for() then waits for its end, however long that takes.
// A limit of zero or less never starts a coroutine.
//
//     try {
//       asyncio::await(asyncio::wait_for([] { asyncio::await(asyncio::sleep(1h)); }, 5ms));
//       assert(false);
//     } catch (const asyncio::TimeoutError&) {  // the sleep was cancelled, and has ended
//     }
#pragma once

#include <cstddef>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/frame_pool.h"
#include "aiofiber/not_awaitable.h"
#include "aiofiber/timeout.h"
#include "aiofiber/wait.h"

namespace aiofiber {

namespace detail {

template <class A>
struct WaitForCall {
  A awaitable;
  std::optional<Duration> limit;

  ResultOf<A> operator()() {
    LoopCore& loop = require_current_task().loop();
    if constexpr (FutureLike<A>) {
      if (&awaitable.state().loop() != &loop) throw_wrong_loop();
    }
    if (limit && *limit <= Duration()) return without_time(loop);
    return await_within(saturated_deadline(loop));
  }
  Coro<ResultOf<A>> stackless_form() requires(FutureLike<A> || IsCoro<A>::value) {
    return run_without_stack(std::move(*this));
  }
  // With a Coroutine in it, it is too large to be stored in another one. Its memory is used again.
  static void* operator new(std::size_t bytes) { return FramePool::allocate(bytes); }
  static void operator delete(void* memory, std::size_t bytes) noexcept { FramePool::release(memory, bytes); }
  // For an awaitable that needs a larger alignment, and for the Coroutine that stores a smaller call.
  static void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return ::operator new(bytes, alignment);
  }
  static void operator delete(void* memory, std::align_val_t alignment) noexcept {
    ::operator delete(memory, alignment);
  }
  static void* operator new(std::size_t, void* place) noexcept { return place; }

 private:
  static Coro<ResultOf<A>> run_without_stack(WaitForCall call) {
    LoopCore& loop = current_task_core()->loop();
    if constexpr (FutureLike<A>) {
      if (&call.awaitable.state().loop() != &loop) throw_wrong_loop();
    }
    if (call.limit && *call.limit <= Duration()) {  // rare: on a stack
      co_return co_await [&call, &loop]() -> ResultOf<A> { return call.without_time(loop); };
    }
    auto body = [&call] { return as_coro(std::move(call.awaitable)); };
    co_return co_await TimeoutScope::run_without_stack(call.saturated_deadline(loop), true, body);
  }
  static Coro<ResultOf<A>> as_coro(A awaitable) requires IsCoro<A>::value { return awaitable; }
  static Coro<ResultOf<A>> as_coro(A awaitable) requires FutureLike<A> {
    co_return co_await std::move(awaitable);
  }
  std::optional<TimePoint> saturated_deadline(LoopCore& loop) const {
    if (!limit) return std::nullopt;
    return saturating_add(loop.facade().time(), *limit);
  }
  ResultOf<A> await_within(std::optional<TimePoint> when) {
    auto body = [this]() -> ResultOf<A> { return aiofiber::await(std::move(awaitable)); };
    return TimeoutScope(when, true).run(body);  // `when` was just read from the clock
  }
  // A limit of zero: gives the result if it is there. A function that has not begun never begins.
  ResultOf<A> without_time(LoopCore& loop) {
    Future<ResultOf<A>> future = ensure_on(loop, std::move(awaitable));
    if (!future.done()) {
      future.cancel();
      wait_here({&future.state()}, {});
      if (future.cancelled()) {
        static_cast<void>(
            future.state().cancelled_error());  // asyncio reads it here, as the TimeoutError's cause
        throw TimeoutError();
      }
    }
    return std::move(future).result();
  }
};

template <class A>
struct EndsWithCoroutine<WaitForCall<A>> : std::bool_constant<only_a_coroutine_ends<A>> {};

}  // namespace detail

// Awaits the awaitable for at most `timeout` (nullopt: without limit), which counts from the await. A
// callable or Coroutine runs in the current task; no task is made. At the limit the awaitable is cancelled,
// and wait_for() waits for its end, however long that takes. If it ends by this cancellation: TimeoutError;
// otherwise its value or error. Zero or less: a done future gives its result, a function never starts, and a
// pending future or task is cancelled and waited for. Use shield() to let a task go on after the limit.
// Cancellation: a cancellation point; a cancellation reaches the awaitable. Errors: TimeoutError; the
// exception of the awaitable. ValueError: a future of another loop.
template <Awaitable A>
Coroutine<ResultOf<A>> wait_for(A&& awaitable, std::optional<Duration> timeout) {
  return Coroutine<ResultOf<A>>(detail::WaitForCall<std::decay_t<A>>{std::forward<A>(awaitable), timeout});
}
// A number has no unit. It is refused here, before deeper functions report a worse error.
template <Awaitable A, class Number>
requires std::is_arithmetic_v<Number> Coroutine<ResultOf<A>> wait_for(A&& awaitable, Number) {
  static_assert(detail::LengthOfTime<Number>::value);
  return wait_for(std::forward<A>(awaitable), std::nullopt);
}

}  // namespace aiofiber
