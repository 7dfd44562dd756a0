// SPDX-License-Identifier: Apache-2.0
//
// wait_for(): one awaitable with a time limit. Source: asyncio.wait_for (3.13): timeout() around an await.
// On expiry the awaitable is cancelled and its end is waited for, however long that takes.
// A limit of zero or less never starts a coroutine.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
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

 private:
  std::optional<TimePoint> saturated_deadline(LoopCore& loop) const {
    if (!limit) return std::nullopt;
    return saturating_add(loop.facade().time(), *limit);
  }
  ResultOf<A> await_within(std::optional<TimePoint> when) {
    auto body = [this]() -> ResultOf<A> { return aiofiber::await(std::move(awaitable)); };
    return TimeoutScope(when, true).run(body);  // `when` was taken from the clock just now
  }
  // No time at all: the result if it is there; a function that has not begun never begins.
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

}  // namespace detail

// Awaits the awaitable for at most `timeout` (nullopt: without limit), which counts from the await. A
// callable or Coroutine runs in the current task; no task is made. At the limit what runs is cancelled and
// waited for, however long it takes; if it ends by that, TimeoutError, else its value or error. Zero or less:
// what is done gives its result, a function never starts, a future or task is cancelled and waited for. Use
// shield() to let a task go on after the limit. Cancellation: a cancellation point; a cancellation reaches
// what is awaited. Errors: TimeoutError; what the awaitable throws. ValueError: a future of another loop.
template <Awaitable A>
Coroutine<ResultOf<A>> wait_for(A&& awaitable, std::optional<Duration> timeout) {
  return Coroutine<ResultOf<A>>(detail::WaitForCall<std::decay_t<A>>{std::forward<A>(awaitable), timeout});
}
// A number has no unit, and is refused here, not some functions further in.
template <Awaitable A, class Number>
requires std::is_arithmetic_v<Number> Coroutine<ResultOf<A>> wait_for(A&& awaitable, Number) {
  static_assert(detail::LengthOfTime<Number>::value);
  return wait_for(std::forward<A>(awaitable), std::nullopt);
}

}  // namespace aiofiber
