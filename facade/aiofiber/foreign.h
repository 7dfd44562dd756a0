// SPDX-License-Identifier: Apache-2.0
//
// Other people's C++20 awaitables: which types they are, and how a Coro waits for one.
//
// A foreign awaitable resumes a coroutine handle, on any thread. It gets the handle of a small coroutine, the
// Messenger, which posts to the loop's thread; there the task goes on. Nothing foreign runs or resumes a
// coroutine of a task.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/coro_chain.h"
#include "aiofiber/future.h"

namespace aiofiber::detail {

template <class A>
concept Awaiter = requires(A& awaiter, std::coroutine_handle<> coroutine) {
  static_cast<bool>(awaiter.await_ready());
  awaiter.await_suspend(coroutine);
  awaiter.await_resume();
};
template <class A>
concept HasMemberCoAwait = requires(A&& awaitable) {
  std::forward<A>(awaitable).operator co_await();
};
template <class A>
concept HasFreeCoAwait = requires(A&& awaitable) {
  operator co_await(std::forward<A>(awaitable));
};

template <class A>
decltype(auto) awaiter_of(A&& awaitable) {
  if constexpr (HasMemberCoAwait<A>) {
    return std::forward<A>(awaitable).operator co_await();
  } else if constexpr (HasFreeCoAwait<A>) {
    return operator co_await(std::forward<A>(awaitable));
  } else {
    return std::forward<A>(awaitable);
  }
}

// What `co_await` of it gives, as a result of a coroutine: an rvalue reference becomes an object.
template <class A>
using RawResultOfForeign =
    decltype(std::declval<std::add_lvalue_reference_t<decltype(awaiter_of(std::declval<A>()))>>()
                 .await_resume());
template <class A>
using ResultOfForeign = std::conditional_t<std::is_rvalue_reference_v<RawResultOfForeign<A>>,
                                           std::remove_cvref_t<RawResultOfForeign<A>>, RawResultOfForeign<A>>;

// Resumes the task that waits for a foreign awaitable.
class ForeignWait {
 public:
  // The coroutine that the foreign awaitable resumes. It ends, and destroys itself, when it is resumed.
  struct Messenger {
    struct promise_type {
      Messenger get_return_object() noexcept {
        return {std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }  // its body throws nothing
    };
    std::coroutine_handle<promise_type> handle;
  };

  // For the current task. Throws std::bad_alloc; RuntimeError: no task.
  ForeignWait();
  ~ForeignWait();
  ForeignWait(const ForeignWait&) = delete;
  ForeignWait& operator=(const ForeignWait&) = delete;

  std::coroutine_handle<Messenger::promise_type> messenger() const noexcept { return messenger_.handle; }
  // Done when the messenger was resumed. A cancellation waits until then, because nothing can stop a foreign
  // operation.
  FutureBase& resumed() const noexcept { return *resumed_; }

 private:
  struct Shared;
  static Messenger post_when_resumed(std::shared_ptr<Shared> shared);

  runtime::Ref<FutureBase> resumed_;
  std::shared_ptr<Shared> shared_;
  Messenger messenger_{};
};

// co_await of a foreign awaitable, in a Coro.
template <class A>
class ForeignAwaiter {
 public:
  explicit ForeignAwaiter(A&& awaitable)
      : awaitable_(std::forward<A>(awaitable)), awaiter_(awaiter_of(std::forward<A>(awaitable_))) {}
  ForeignAwaiter(const ForeignAwaiter&) = delete;
  ForeignAwaiter& operator=(const ForeignAwaiter&) = delete;

  bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    wait_.emplace();
    chain_ = coroutine.promise().chain;
    const auto messenger = wait_->messenger();
    using Answer = decltype(awaiter_.await_suspend(messenger));
    if constexpr (std::is_void_v<Answer>) {
      awaiter_.await_suspend(messenger);
    } else if constexpr (std::is_same_v<Answer, bool>) {
      if (!awaiter_.await_suspend(messenger)) return false;
    } else {
      // The coroutine that the awaitable wants to run next; it runs until it suspends.
      const std::coroutine_handle<> next = awaiter_.await_suspend(messenger);
      if (next == messenger) return false;
      next.resume();
    }
    chain_->request.kind = ChainRequest::Kind::kFuture;
    chain_->request.future = &wait_->resumed();
    return true;
  }
  decltype(auto) await_resume() {
    if (chain_ != nullptr) chain_->rethrow_error();
    return awaiter_.await_resume();
  }

 private:
  CoroChain* chain_ = nullptr;
  std::optional<ForeignWait> wait_;  // outlives the awaiter, which may resume the messenger
  A awaitable_;                      // a reference to a named one
  decltype(awaiter_of(std::declval<A>())) awaiter_;
};

}  // namespace aiofiber::detail
