// SPDX-License-Identifier: Apache-2.0
//
// Future<T>: a value that will be available later. AnyFuture: a future of unknown type.
//
// A cheap handle: copies refer to the same future, like names in Python. Source: asyncio.Future.
// Threads: the loop's only; another thread completes it through call_soon_threadsafe().
// Differs from asyncio: remove_done_callback() takes the id that add_done_callback() returned, because C++
// callables cannot be compared.
//
//     auto answer = asyncio::get_running_loop().create_future<int>();
//     asyncio::get_running_loop().call_soon([answer] { answer.set_result(42); });
//     assert(asyncio::await(answer) == 42);
//
// Wrong: a future that nobody sets. When its last other handle goes, the tasks that wait for it are
// reported.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/future_base.h"
#include "aiofiber/repr.h"
#include "aiofiber/result.h"

namespace aiofiber {

// Identifies one registration of a done-callback.
enum class CallbackId : std::uint64_t {};

namespace detail {

template <class T>
class FutureState : public FutureBase {
 public:
  using FutureBase::FutureBase;
  ~FutureState() override = default;

  template <class... U>
  void set_value(U&&... value) {
    check_pending();
    value_.emplace(std::forward<U>(value)...);
    finish();
  }
  // Precondition: finished without an exception.
  std::add_lvalue_reference_t<const T> look() const {
    if constexpr (std::is_reference_v<T>) {
      return value_->get();
    } else if constexpr (!std::is_void_v<T>) {
      return *value_;
    }
  }
  // Moves the value out, or copies it while others can still see it.
  T take() {
    if constexpr (std::is_reference_v<T>) {
      return value_->get();
    } else if constexpr (!std::is_void_v<T>) {
      if constexpr (is_copyable<T>) {
        if (references() > 1) return *value_;
      }
      return std::move(*value_);
    }
  }
  Stored<T>& stored() noexcept { return *value_; }
  std::optional<Stored<T>>& slot() noexcept { return value_; }
  std::string value_text() const override {
    if constexpr (std::is_void_v<T>) {
      return "None";
    } else {
      return value_ ? repr_of(look()) : std::string("...");
    }
  }

 private:
  std::optional<Stored<T>> value_;
};

// A future on which tasks wait for an object, such as a lock or a group. Debuggers show that object.
class ObjectFuture final : public FutureState<void> {
 public:
  ObjectFuture(LoopCore& loop, enum aiofiber_wait kind, const void* object,
               const std::uint64_t* owner = nullptr)
      : FutureState<void>(loop), object_(object), owner_(owner) {
    wait_kind = static_cast<std::uint8_t>(kind);
  }
  // Makes the future pending again. The owner calls it, after it has read how the future ended.
  void reopen() noexcept {
    slot().reset();
    FutureBase::reopen();
  }
  const void* wait_object() const noexcept override { return object_; }
  const std::uint64_t* wait_owner() const noexcept override { return owner_; }

 private:
  const void* object_;
  const std::uint64_t* owner_;
};

template <class F, class Handle_>
class FutureCallback final : public HandleBase, public CallbackWaiter {
  static_assert(std::is_nothrow_destructible_v<F>,
                "a done-callback must not throw when it is destroyed: wrap what it owns");

 public:
  template <class G>
  FutureCallback(LoopCore& loop, G&& fn)
      : HandleBase(loop, entry_of(fn)), fn_(std::in_place, std::forward<G>(fn)) {
    target = this;
    on_scheduled = [](Waiter& waiter, FutureBase& future) noexcept {
      static_cast<FutureCallback&>(waiter).future_ = runtime::Ref<FutureBase>(&future);
    };
  }

 protected:
  void call() override { std::invoke(*fn_, Handle_(std::move(future_))); }
  void forget() noexcept override {
    fn_.reset();
    future_ = nullptr;
  }

 private:
  std::optional<F> fn_;
  runtime::Ref<FutureBase> future_;
};

}  // namespace detail

// A future of unknown T: the same members except result() and set_result().
class AnyFuture {
 public:
  AnyFuture() noexcept = default;
  explicit AnyFuture(runtime::Ref<detail::FutureBase> state) noexcept : state_(std::move(state)) {}

  // False for a default-constructed handle; all other members of such a handle throw RuntimeError.
  bool valid() const noexcept { return static_cast<bool>(state_); }
  // True once it has a result or an exception, or is cancelled. RuntimeError: an empty handle.
  bool done() const { return state().done(); }
  // True once it ended by a cancellation. RuntimeError: an empty handle.
  bool cancelled() const { return state().cancelled(); }
  // Requests cancellation: a pending future is cancelled, a pending task gets CancelledError at its await.
  // False if it is done already. Never runs user code.
  bool cancel(std::string message = {}) const { return state().cancel(detail::RareText(std::move(message))); }
  // The exception, or null. Throws CancelledError; InvalidStateError while pending.
  std::exception_ptr exception() const { return state().exception(); }
  // Ends the future with an exception. InvalidStateError if done; RuntimeError for a task; TypeError: null.
  void set_exception(std::exception_ptr exception) const { state().set_exception(std::move(exception)); }
  template <class E>
  requires(!std::same_as<std::decay_t<E>, std::exception_ptr>) void set_exception(
      E&& exception_object) const {
    set_exception(std::make_exception_ptr(std::forward<E>(exception_object)));
  }
  // Drops the callback, and gives how many were removed: 0 if it has been scheduled or removed already.
  std::size_t remove_done_callback(CallbackId id) const {
    return state().remove_callback(static_cast<std::uint64_t>(id));
  }
  // The loop that it belongs to. RuntimeError: an empty handle, or the loop is gone.
  EventLoop& get_loop() const { return state().loop().facade(); }
  // Calls fn(AnyFuture) through the loop, in order of registration. The callback runs in a copy of the
  // current context unless one is given: add_done_callback(fn, {.context = context}).
  template <class F>
  CallbackId add_done_callback(F&& fn, const CallbackOptions& options = {}) const {
    return add_callback<AnyFuture>(std::forward<F>(fn), options);
  }

  detail::FutureBase& state() const {
    if (!state_) throw RuntimeError("this future handle is empty: it was default-constructed or moved from");
    return *state_;
  }
  const runtime::Ref<detail::FutureBase>& ref() const noexcept { return state_; }
  friend bool operator==(const AnyFuture& a, const AnyFuture& b) noexcept { return a.state_ == b.state_; }
  friend std::string repr(const AnyFuture& future) {
    return future.valid() ? future.state().text() : "<Future empty>";
  }

 protected:
  template <class Passed, class F>
  CallbackId add_callback(F&& fn, const CallbackOptions& options) const {
    static_assert(std::is_invocable_v<std::decay_t<F>&, Passed>,
                  "a done-callback is called with the future: fn(Future<T>)");
    if (detail::is_empty_callable(fn)) detail::throw_empty_callable("add_done_callback()");
    auto* callback = new detail::FutureCallback<std::decay_t<F>, Passed>(state().loop(), std::forward<F>(fn));
    return CallbackId(state().add_callback(runtime::Ref<detail::HandleBase>(callback), *callback,
                                           options.context ? options.context->data() : nullptr));
  }
  runtime::Ref<detail::FutureBase> state_;
};

// The text that asyncio prints: "<Future pending>". An empty handle: "<Future empty>".
std::string repr(const AnyFuture& future);

// A handle of a value that comes later: copies refer to the same future. Not thread-safe. Source:
// asyncio.Future.
template <class T = void>
class [[nodiscard]] Future : public AnyFuture {
 public:
  using value_type = T;

  Future() noexcept = default;
  explicit Future(runtime::Ref<detail::FutureBase> state) noexcept : AnyFuture(std::move(state)) {}
  explicit Future(runtime::Ref<detail::FutureState<T>> state) noexcept
      : AnyFuture(runtime::Ref<detail::FutureBase>(std::move(state))) {}

  // The value. Throws CancelledError, the exception that was set, or InvalidStateError while pending.
  std::add_lvalue_reference_t<const T> result() const& {
    state().check_result();
    return typed().look();
  }
  T result() && {
    state().check_result();
    return typed().take();
  }
  // Ends the future with a value. InvalidStateError if done; RuntimeError for a task.
  template <class U = T>
  requires(!std::is_void_v<T>) void set_result(U&& value) const {
    check_settable();
    if constexpr (std::is_reference_v<T>) {
      typed().set_value(std::ref(value));
    } else {
      static_assert(std::is_constructible_v<T, U>, "set_result() takes what the future's type is made of");
      if constexpr (std::is_constructible_v<T, U>) typed().set_value(std::forward<U>(value));
    }
  }
  // Ends a Future<void>. InvalidStateError if done; RuntimeError for a task.
  void set_result() const requires std::is_void_v<T> {
    check_settable();
    typed().set_value();
  }
  // Calls fn(Future<T>) through the loop, in order of registration; options as for AnyFuture.
  template <class F>
  CallbackId add_done_callback(F&& fn, const CallbackOptions& options = {}) const {
    return this->template add_callback<Future>(std::forward<F>(fn), options);
  }
  detail::FutureState<T>& typed() const { return static_cast<detail::FutureState<T>&>(state()); }

 private:
  void check_settable() const {
    if (state().task() != nullptr) throw RuntimeError("Task does not support set_result operation");
  }
};

template <class T>
Future<T> EventLoop::create_future() {
  return Future<T>(runtime::Ref<detail::FutureState<T>>(new detail::FutureState<T>(*core_)));
}

}  // namespace aiofiber

// By identity, so futures can be keys.
template <>
struct std::hash<aiofiber::AnyFuture> {
  std::size_t operator()(const aiofiber::AnyFuture& f) const noexcept {
    return std::hash<const void*>()(f.ref().get());
  }
};
template <class T>
struct std::hash<aiofiber::Future<T>> : std::hash<aiofiber::AnyFuture> {};
