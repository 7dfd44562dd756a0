// SPDX-License-Identifier: Apache-2.0
//
// sleep(): suspends a task for a time. Source: asyncio.sleep.
// The deadline is fixed when the coroutine is awaited, on the loop's clock. Zero or less is exactly one pass.
// A cancellation point; the wait allocates nothing.
//
//     const auto begin = asyncio::get_running_loop().time();
//     asyncio::await(asyncio::sleep(20ms));
//     assert(asyncio::get_running_loop().time() - begin >= 20ms);
//     assert(asyncio::await(asyncio::sleep(1ms, 7)) == 7);
//
// Wrong: `sleep(20ms);` alone, which does nothing; and ::sleep(), which blocks the thread without the
// hooks.
#pragma once

#include <type_traits>
#include <utility>

#include "aiofiber/coro.h"
#include "aiofiber/duration.h"
#include "aiofiber/task_core.h"

namespace aiofiber {

// Suspends the task until `delay` has passed on the loop's clock, counted from the await. Zero and negative:
// for one pass, so that everything that is ready runs first.
// Cancellation: a cancellation point, at once; the timer is removed then.
// Errors: CancelledError; RuntimeError outside a task; ValueError for NaN, when the Duration is made.
Coroutine<void> sleep(Duration delay);

namespace detail {
EntryInfo sleep_entry() noexcept;

// The deadline counts from this call (the await), not from the call that made the Coroutine.
void sleep_timed(Duration delay);

// Inline, so that the compiler can optimize the Coroutine of sleep() away: await(sleep(0s)) is one call.
inline void sleep_here(Duration delay) {
  if (delay <= Duration()) {
    require_current_task().wait_one_pass();
  } else {
    sleep_timed(delay);
  }
}

Coro<void> sleep_without_stack(Duration delay);
template <class R>
Coro<R> sleep_without_stack(Duration delay, R result) {
  co_await SleepFor{delay};
  co_return std::move(result);
}

struct PlainSleep {
  Duration delay;
  void operator()() { sleep_here(delay); }
  Coro<void> stackless_form() { return sleep_without_stack(delay); }
  EntryInfo entry() const noexcept { return sleep_entry(); }
};

template <class R>
struct SleepCall {
  Duration delay;
  R result;
  R operator()() {
    sleep_here(delay);
    return std::move(result);
  }
  Coro<R> stackless_form() { return sleep_without_stack(delay, std::move(result)); }
  EntryInfo entry() const noexcept { return sleep_entry(); }
};
}  // namespace detail

inline Coroutine<void> sleep(Duration delay) { return Coroutine<void>(detail::PlainSleep{delay}); }

// The same, and gives `result` back.
template <class R>
Coroutine<std::decay_t<R>> sleep(Duration delay, R&& result) {
  return Coroutine<std::decay_t<R>>(detail::SleepCall<std::decay_t<R>>{delay, std::forward<R>(result)});
}

}  // namespace aiofiber
