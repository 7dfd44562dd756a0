// SPDX-License-Identifier: Apache-2.0
//
// timeout(): a time limit on a piece of code. Source: asyncio.timeout, timeout_at, Timeout (3.13).
//
// At the deadline the task that runs the body is cancelled. At the end of the body this cancellation, and no
// other, becomes a TimeoutError. Counting requests (cancelling(), uncancel()) tells whether there was another
// one. In a destructor, also while an exception unwinds, a limit works if the destructor catches the
// TimeoutError. If the TimeoutError would leave the destructor and end the program, the body is not cut
// short. If a foreign cancellation comes in the same pass as the expiry and cannot leave the destructor, it
// is raised at a later await.
// Differs from asyncio: `async with timeout(t):` is a call with a body; the Timeout object lives as long as
// the body.
//
//     try {
//       asyncio::await(asyncio::timeout(5ms, [] { asyncio::await(asyncio::sleep(1h)); }));
//       assert(false);
//     } catch (const asyncio::TimeoutError&) {
//     }
//     assert(asyncio::await(asyncio::timeout(1h, [] { return 7; })) == 7);
//
// Wrong: catch (...) without `throw;` in the body, which swallows the cancellation that ends it.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber {

namespace detail {
class TaskCore;
class TimeoutScope;
class TimeoutTimer;
}  // namespace detail

// The scope, which a body may take by reference: body(Timeout& scope).
class Timeout {
 public:
  Timeout(const Timeout&) = delete;
  Timeout& operator=(const Timeout&) = delete;

  // The deadline on the loop's clock; none: no limit. Unchanged after the end.
  std::optional<TimePoint> when() const noexcept { return when_; }
  // Sets a new deadline; nullopt disarms. A deadline in the past expires in the next pass, not in this call.
  // RuntimeError: the scope has expired.
  void reschedule(std::optional<TimePoint> when);
  // True from the moment when the deadline fired.
  bool expired() const noexcept { return state_ == State::kExpiring || state_ == State::kExpired; }
  friend std::string repr(const Timeout& scope);

 private:
  enum class State : unsigned char {
    kCreated,
    kEntered,   // the body runs
    kExpiring,  // the deadline fired, the body has not ended
    kExpired,
    kExited,  // the body ended before the deadline
  };
  explicit Timeout(std::optional<TimePoint> when) noexcept : when_(when) {}
  ~Timeout();
  // `ahead`: the deadline is known to be in the future, which saves reading the clock.
  void enter(bool ahead);
  void arm();
  // For a body that returned. Throws a cancellation that a hooked call turned into an error and the body
  // swallowed.
  void check_interrupted();
  void leave() noexcept;
  // For a body that threw the exception being handled: rethrows it, or throws the TimeoutError that replaces
  // it.
  [[noreturn]] void leave_throwing();
  // For a scope that expired and whose body threw CancelledError: whether that becomes a TimeoutError.
  bool ends_by_timeout();
  void disarm() noexcept;
  void on_timeout();
  friend class detail::TimeoutTimer;
  static const char* state_name(State state) noexcept;

  std::optional<TimePoint> when_;
  // The earliest deadline of this scope and of those around it, for debuggers that look at what the task
  // waits for; 0: none.
  std::uint64_t limit() const noexcept;

  detail::TimeoutTimer* timer_ = nullptr;  // armed or queued; null: none
  detail::TaskCore* task_ = nullptr;
  int cancelling_at_entry_ = 0;
  std::uint32_t scope_ = 0;        // its number among the task's open scopes
  Timeout* outer_ = nullptr;       // the scope of the task around this one
  std::uint64_t outer_limit_ = 0;  // of the task before its outermost scope
  State state_ = State::kCreated;

  friend class detail::TimeoutScope;
};
// The text that asyncio prints, with the state and the time.
std::string repr(const Timeout& scope);

namespace detail {

template <class Body>
inline constexpr bool is_timeout_body = std::is_invocable_v<Body&, Timeout&> || std::is_invocable_v<Body&>;

template <class Body>
decltype(auto) call_timeout_body(Body& body, Timeout& scope) {
  if constexpr (std::is_invocable_v<Body&, Timeout&>) {
    return call_and_await(body, scope);
  } else {
    static_cast<void>(scope);
    if constexpr (is_timeout_body<Body>) return call_and_await(body);  // else timeout_at() reports the error
  }
}
// Whether a scope can run the body without a stack: its result is a Coro.
template <class Body, class Scope>
inline constexpr bool gives_coro = [] {
  if constexpr (std::is_invocable_v<Body&, Scope&>) {
    return IsCoro<std::invoke_result_t<Body&, Scope&>>::value;
  } else if constexpr (std::is_invocable_v<Body&>) {
    return IsCoro<std::invoke_result_t<Body&>>::value;
  } else {
    return false;
  }
}();

template <class Body>
using TimeoutResult = decltype(call_timeout_body(std::declval<Body&>(), std::declval<Timeout&>()));

// Runs a body inside a Timeout.
class TimeoutScope {
 public:
  explicit TimeoutScope(std::optional<TimePoint> when, bool ahead = false) noexcept
      : scope_(when), ahead_(ahead) {}

  // Not inlined: see runtime::PassesOnOther.
  template <class Body>
  AIOFIBER_NOINLINE TimeoutResult<Body> run(Body& body) {
    using R = TimeoutResult<Body>;
    scope_.enter(ahead_);
    try {
      if constexpr (std::is_void_v<R>) {
        call_timeout_body(body, scope_);
        scope_.check_interrupted();
        scope_.leave();
      } else {
        R result = call_timeout_body(body, scope_);
        scope_.check_interrupted();
        scope_.leave();
        return static_cast<R&&>(result);
      }
    } catch (const runtime::PassesOnOther&) {
      throw;
    } catch (...) {
      scope_.leave_throwing();
    }
  }

  // The same for a body that gives a Coro.
  template <class Body>
  static Coro<TimeoutResult<Body>> run_without_stack(std::optional<TimePoint> when, bool ahead, Body body) {
    using R = TimeoutResult<Body>;
    TimeoutScope self(when, ahead);
    Timeout& scope = self.scope_;
    scope.enter(ahead);
    try {
      if constexpr (std::is_void_v<R>) {
        co_await make_coro(body, scope);
        scope.check_interrupted();
        scope.leave();
        co_return;
      } else {
        R result = co_await make_coro(body, scope);
        scope.check_interrupted();
        scope.leave();
        co_return static_cast<R&&>(result);
      }
    } catch (...) {
      scope.leave_throwing();
    }
  }

 private:
  template <class Body>
  static auto make_coro(Body& body, Timeout& scope) {
    if constexpr (std::is_invocable_v<Body&, Timeout&>) {
      return std::invoke(body, scope);
    } else {
      return std::invoke(body);
    }
  }

  Timeout scope_;
  const bool ahead_;
};

template <class Body>
struct TimeoutCall {
  std::optional<TimePoint> when;
  Body body;
  TimeoutResult<Body> operator()() { return TimeoutScope(when).run(body); }
  Coro<TimeoutResult<Body>> stackless_form() requires gives_coro<Body, Timeout> {
    return TimeoutScope::run_without_stack(when, false, std::move(body));
  }
  EntryInfo entry() const noexcept { return entry_of(body); }
};

// Now + delay on the running loop. RuntimeError: no running loop.
std::optional<TimePoint> deadline_after(std::optional<Duration> delay);

}  // namespace detail

// As timeout(), with a point on the loop's clock (EventLoop::time()); nullopt: no limit.
template <class Body>
auto timeout_at(std::optional<TimePoint> when, Body&& body) {
  using Function = std::decay_t<Body>;
  static_assert(detail::is_timeout_body<Function>,
                "the body of timeout() is called as body() or body(Timeout&)");
  return Coroutine<detail::TimeoutResult<Function>>(
      detail::TimeoutCall<Function>{when, std::forward<Body>(body)});
}

// Calls the body in the current task, with a time limit that counts from this call. The value of the await is
// the body's value. nullopt: no limit. Zero or negative: expires at the body's first suspension. A body ends
// normally if it overruns and does not suspend afterwards, or swallows the cancellation. Cancellation: a
// foreign cancellation passes, and wins over an expiry that happens before the body has ended. Errors:
// TimeoutError; the exception of the body. RuntimeError: no running loop. Source: asyncio.timeout.
template <class Body>
auto timeout(std::optional<Duration> delay, Body&& body) {
  return timeout_at(detail::deadline_after(delay), std::forward<Body>(body));
}
// A number has no unit. It is refused here, before deeper functions report a worse error.
template <class Number, class Body>
requires std::is_arithmetic_v<Number>
auto timeout(Number, Body&& body) {
  static_assert(detail::LengthOfTime<Number>::value);
  return timeout(std::nullopt, std::forward<Body>(body));
}

}  // namespace aiofiber
