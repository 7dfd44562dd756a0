// SPDX-License-Identifier: Apache-2.0
//
// operator co_await: futures and coroutine objects in coroutine types of other libraries.
//
// Such a coroutine is no task. It runs on the loop's thread, in a callback of the loop that the future
// schedules when it is done. In a Coro these operators are not used.
#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

#include "aiofiber/coro.h"

namespace aiofiber {

namespace detail {

// Waits for a future, and resumes the coroutine by a callback of the loop.
template <class T, bool take>
class CallbackAwaiter {
 public:
  explicit CallbackAwaiter(Future<T> future) noexcept : future_(std::move(future)) {}
  // If the coroutine is destroyed while it waits, the callback is dropped.
  ~CallbackAwaiter() {
    if (!callback_) return;
    callback_->cancel();
    future_.remove_done_callback(CallbackId(id_));
  }
  CallbackAwaiter(const CallbackAwaiter&) = delete;
  CallbackAwaiter& operator=(const CallbackAwaiter&) = delete;

  bool await_ready() const { return future_.state().done(); }
  void await_suspend(std::coroutine_handle<> coroutine) {
    const auto resume = [coroutine](const AnyFuture&) { coroutine.resume(); };
    auto* const callback = new FutureCallback<decltype(resume), AnyFuture>(future_.state().loop(), resume);
    callback_ = runtime::Ref<HandleBase>(callback);
    id_ = future_.state().add_callback(callback_, *callback, nullptr);
  }
  decltype(auto) await_resume() { return result_of_await<take>(future_); }

 private:
  Future<T> future_;
  runtime::Ref<HandleBase> callback_;
  std::uint64_t id_ = 0;
};

}  // namespace detail

// A named future: look at the result. A temporary one: take it. Threads: the loop's. Errors, thrown when the
// coroutine goes on: those of the future.
template <class T>
detail::CallbackAwaiter<T, false> operator co_await(const Future<T>& future) {
  return detail::CallbackAwaiter<T, false>(future);
}
template <class T>
detail::CallbackAwaiter<T, true> operator co_await(Future<T>&& future) {
  return detail::CallbackAwaiter<T, true>(std::move(future));
}
// A coroutine object becomes a task of the running loop. RuntimeError: no loop runs.
template <class T>
detail::CallbackAwaiter<T, true> operator co_await(Coroutine<T>&& coroutine) {
  return detail::CallbackAwaiter<T, true>(create_task(std::move(coroutine)));
}
template <class T>
detail::CallbackAwaiter<T, true> operator co_await(Coro<T>&& coroutine) {
  return detail::CallbackAwaiter<T, true>(create_task(std::move(coroutine)));
}

}  // namespace aiofiber
