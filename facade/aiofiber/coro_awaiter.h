// SPDX-License-Identifier: Apache-2.0
//
// What `co_await x` does in a Coro, for each kind of x: futures, coroutines, and what needs a stack.
//
// An awaiter lives in the frame of the coroutine that awaits. It tells the chain what to wait for, and gives
// the result when the coroutine goes on. Not for users.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/awaitable.h"
#include "aiofiber/coro_chain.h"
#include "aiofiber/duration.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::detail {

// The value or the exception of something that has ended.
template <class T>
struct Outcome {
  std::optional<Stored<T>> value;
  std::exception_ptr error;
  T take() {
    if (AIOFIBER_UNLIKELY(error != nullptr)) std::rethrow_exception(std::move(error));
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(value->get());
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(*value);
    }
  }
};

template <class Promise>
CoroChain& chain_of(std::coroutine_handle<Promise> coroutine) noexcept {
  return *coroutine.promise().chain;
}

// What co_await of a future gives, once it is done.
template <bool take, class T>
std::conditional_t<take, T, std::add_lvalue_reference_t<const T>> result_of_await(Future<T>& future) {
  if constexpr (take) {
    return std::move(future).result();
  } else {
    return std::as_const(future).result();
  }
}

// co_await of a future: `take` moves the value out, as await() of a temporary does.
template <class T, bool take>
class FutureAwaiter {
 public:
  explicit FutureAwaiter(Future<T> future) noexcept : future_(std::move(future)) {}
  FutureAwaiter(const FutureAwaiter&) = delete;
  FutureAwaiter& operator=(const FutureAwaiter&) = delete;

  bool await_ready() const { return future_.state().done(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    chain_ = &chain_of(coroutine);
    chain_->request.kind = ChainRequest::Kind::kFuture;
    chain_->request.future = future_.ref().get();
  }
  decltype(auto) await_resume() {
    if (chain_ != nullptr) chain_->rethrow_error();
    return result_of_await<take>(future_);
  }

 private:
  Future<T> future_;
  CoroChain* chain_ = nullptr;  // null: it did not suspend
};

// co_await of a wait that has its future in it, such as that for a lock. `Wait` befriends this class and has
// future_of_wait(), and outcome(), which gives what the co_await gives, or throws.
template <class Wait>
class WaitAwaiter {
 public:
  using OwnAwaiter = void;
  explicit WaitAwaiter(Wait& wait) noexcept : wait_(wait) {}

  bool await_ready() const noexcept { return wait_.future_of_wait().done(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    chain_ = &chain_of(coroutine);
    chain_->request.kind = ChainRequest::Kind::kFuture;
    chain_->request.future = &wait_.future_of_wait();
  }
  decltype(auto) await_resume() {
    if (chain_ != nullptr) chain_->rethrow_error();
    return wait_.outcome();
  }

 private:
  Wait& wait_;
  CoroChain* chain_ = nullptr;  // null: it did not suspend
};

// Runs code that may need a stack: a Coroutine, or a callable.
template <class R, class F>
class CallAwaiter {
 public:
  explicit CallAwaiter(F&& fn) : fn_(std::forward<F>(fn)) {}
  CallAwaiter(const CallAwaiter&) = delete;
  CallAwaiter& operator=(const CallAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    chain_ = &chain_of(coroutine);
    chain_->request.kind = ChainRequest::Kind::kCall;
    chain_->request.object = this;
    chain_->request.call = &call;
  }
  R await_resume() {
    chain_->rethrow_error();  // there was no stack
    return outcome_.take();
  }
  std::remove_reference_t<F>& function() noexcept { return fn_; }

 private:
  // Not inlined: see runtime::PassesOn. The exception goes on in the coroutine, and from there to the frames
  // above.
  AIOFIBER_NOINLINE static void call(void* object) {
    auto& self = *static_cast<CallAwaiter*>(object);
    try {
      if constexpr (std::is_void_v<R>) {
        static_cast<void>(std::invoke(self.fn_));
      } else {
        self.outcome_.value.emplace(std::invoke(self.fn_));
      }
    } catch (const runtime::PassesOn&) {
      throw;
    } catch (...) {
      self.outcome_.error = std::current_exception();
    }
  }

  F fn_;  // a reference to a named callable
  Outcome<R> outcome_;
  CoroChain* chain_ = nullptr;
};

// A sleep without a stack: co_await SleepFor{delay}.
struct SleepFor {
  Duration delay;
};
class SleepAwaiter {
 public:
  explicit SleepAwaiter(Duration delay) noexcept : delay_(delay) {}
  SleepAwaiter(const SleepAwaiter&) = delete;
  SleepAwaiter& operator=(const SleepAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    chain_ = &chain_of(coroutine);
    ask();
  }
  void await_resume() { chain_->rethrow_error(); }

 private:
  void ask();

  Duration delay_;
  CoroChain* chain_ = nullptr;
  alignas(runtime::Parker) unsigned char parker_[sizeof(runtime::Parker)];
};

}  // namespace aiofiber::detail
