// SPDX-License-Identifier: Apache-2.0
//
// wait(): waits until some or all of several futures are done. Source: asyncio.wait.
//
// Differs from asyncio: callables and Coroutines are accepted and become tasks, as in Python 3.5.
// Differs from asyncio: `done` and `pending` are vectors in input order, not sets.
//
//     auto quick = asyncio::create_task([] { return 1; });
//     auto slow = asyncio::create_task([] { asyncio::await(asyncio::sleep(1h)); return 2; });
//     std::vector both{quick, slow};
//     auto [done, pending] = asyncio::await(asyncio::wait(both, {.return_when = asyncio::FIRST_COMPLETED}));
//     assert(done.size() == 1 && pending.at(0) == slow);
//     slow.cancel();                           // wait() cancels nothing
#pragma once

#include <initializer_list>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"
#include "aiofiber/range.h"

namespace aiofiber {

// When wait() returns: all are done; one is done; one failed (cancelled futures do not count) or all are
// done.
enum ReturnWhen { ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION };

// The keyword arguments of wait().
struct WaitOptions {
  std::optional<Duration> timeout = std::nullopt;  // absent: no limit; what is pending then stays so
  ReturnWhen return_when = ALL_COMPLETED;          // or FIRST_COMPLETED, FIRST_EXCEPTION
};

// The distinct inputs, in input order, in two lists: done or not done when wait() resumed.
template <class F>
struct WaitResult {
  std::vector<F> done;     // in input order, as `pending`
  std::vector<F> pending;  // not cancelled: they go on
};

namespace detail {
// ValueError: no inputs, or an invalid return_when.
void check_wait(bool empty, ReturnWhen return_when);
// Suspends the current task until the condition holds or the time is over; inputs: distinct, of this loop.
void wait_here(const std::vector<FutureBase*>& inputs, const WaitOptions& options);
Coro<void> wait_without_stack(std::vector<FutureBase*> inputs, WaitOptions options);

template <class Element>
class WaitCall {
 public:
  WaitCall(std::vector<Element> given, WaitOptions wait_options)
      : inputs_(std::move(given)), options_(wait_options) {}

  using F = FutureOf<Element>;
  WaitResult<F> operator()() {
    Inputs ready = prepare(require_current_task().loop());
    wait_here(ready.states, options_);
    return std::move(ready).result();
  }
  Coro<WaitResult<F>> stackless_form() { return run_without_stack(std::move(*this)); }

 private:
  struct Inputs {
    std::vector<F> futures;
    std::vector<FutureBase*> states;
    WaitResult<F> result() && {
      WaitResult<F> result;
      for (F& future : futures) (future.done() ? result.done : result.pending).push_back(std::move(future));
      return result;
    }
  };
  Inputs prepare(LoopCore& loop) {
    check_wait(inputs_.empty(), options_.return_when);
    Inputs ready;
    ready.futures.reserve(inputs_.size());
    for (Element& input : inputs_) ready.futures.push_back(future_on(loop, std::move(input)));
    remove_duplicates(ready.futures);
    ready.states.reserve(ready.futures.size());
    for (const F& future : ready.futures) ready.states.push_back(future.ref().get());
    return ready;
  }
  static Coro<WaitResult<F>> run_without_stack(WaitCall call) {
    Inputs ready = call.prepare(current_task_core()->loop());
    co_await wait_without_stack(ready.states, call.options_);
    co_return std::move(ready).result();
  }

  std::vector<Element> inputs_;
  WaitOptions options_;
};
}  // namespace detail

// Suspends until return_when holds or the timeout has passed, and returns which futures are done. It throws
// no errors of the futures and cancels nothing; a timeout is no error. It gives up control even if all are
// done already. With a timeout of zero or less the loop still runs a pass. The same future given twice counts
// once.
// Cancellation: a cancellation point; the inputs are left alone.
// Errors, when it is awaited: ValueError: no futures, a future of another loop, an invalid return_when.
template <WaitableRange Range>
Coroutine<WaitResult<detail::FutureOf<detail::ElementOf<Range>>>> wait(Range&& futures,
                                                                       WaitOptions options = {}) {
  using Call = detail::WaitCall<detail::ElementOf<Range>>;
  return Coroutine<WaitResult<typename Call::F>>(
      Call(detail::elements_of(std::forward<Range>(futures)), options));
}
template <class F>
requires(Awaitable<F> || detail::HandleLike<F>) Coroutine<WaitResult<detail::FutureOf<F>>> wait(
    std::initializer_list<F> futures, WaitOptions options = {}) {
  return aiofiber::wait(std::vector<F>(futures), options);
}

}  // namespace aiofiber
