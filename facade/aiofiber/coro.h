// SPDX-License-Identifier: Apache-2.0
//
// Coro<T>: a C++20 coroutine that shares tasks, futures and cancellation with the fibers.
//
// A Coro has no stack of its own. It does nothing until it is awaited or scheduled, and runs once. In it,
// `co_await` takes every awaitable, and everything that takes an awaitable takes a Coro. A task that is made
// of one has no stack either: its code runs on the loop's own stack, from one co_await to the next.
// Only a stack can suspend an ordinary function. So `await()` is an error in functions that such a task
// calls, and a hooked C call there blocks the thread. The remedy: `co_await [&] { return legacy_call(); }`
// runs the callable on a stack that is borrowed for that time.
// A lambda that is a coroutine keeps its captures in the lambda. So give the lambda itself, which is then
// kept: create_task([x]() -> Coro<> { ... }), not the result of calling it.
// Source: a coroutine of Python's `async def`.
//
//     auto twice = [](int x) -> asyncio::Coro<int> {
//       co_await asyncio::sleep(1ms);
//       co_return 2 * x;
//     };
//     assert(asyncio::await(twice(21)) == 42);
//     auto task = asyncio::create_task(twice(4));
//     assert(asyncio::await(task) == 8);
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/awaitable.h"
#include "aiofiber/coro_awaiter.h"
#include "aiofiber/coro_chain.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/foreign.h"
#include "aiofiber/not_awaitable.h"
#include "aiofiber/task.h"

namespace aiofiber {

namespace detail {
template <class T>
class CoroPromise;
template <class T, class F>
class CoroAwaiter;
template <class T, class F>
class CoroTask;
class AwaitingPromise;
}  // namespace detail

// A coroutine object; a function that returns one and uses co_await or co_return is a coroutine. T: an object
// type, which need not be copyable, a reference, or void. Parameters are kept in its frame as they are
// declared: take by value what a reference may outlive. Threads: made on any thread; from its begin on, the
// loop's. Cancellation: raised at its co_await, by the rules of every task; it can be caught there. Errors:
// its exceptions come out of the await, or are the task's. RuntimeError "cannot reuse already awaited
// coroutine" or "coroutine is being awaited already": a second await. StackError at a co_await: there is no
// stack to borrow.
template <class T = void>
class [[nodiscard]] Coro {
 public:
  using value_type = T;
  using promise_type = detail::CoroPromise<T>;

  Coro(Coro&& other) noexcept { take_from(other); }
  Coro& operator=(Coro&& other) noexcept {
    if (this != &other) {
      destroy();
      take_from(other);
    }
    return *this;
  }
  // Logs "coroutine 'NAME' was never awaited" if it has not begun.
  ~Coro() { destroy(); }

  // Destroys it without that report. No effect while it is being awaited.
  void close() noexcept {
    if (is_awaited()) return;
    if (detail::PromiseBase* const promise = std::exchange(promise_, nullptr)) promise->handle().destroy();
  }
  // Empty once it was awaited, scheduled, moved or closed.
  detail::EntryInfo entry() const noexcept {
    return promise_ != nullptr && !is_awaited() ? promise_->entry() : detail::EntryInfo{};
  }

 private:
  friend promise_type;
  template <class, class>
  friend class detail::CoroAwaiter;
  template <class, class>
  friend class detail::CoroTask;
  template <class U>
  friend U detail::drive_here(Coro<U>& coroutine);
  friend class detail::AwaitingPromise;

  Coro() noexcept = default;
  explicit Coro(detail::PromiseBase& promise) noexcept : promise_(&promise) {}

  // While a named Coro is being awaited, the await owns the coroutine. The named one keeps its address with
  // this mark, for the error of a second await.
  static constexpr std::uintptr_t kAwaitedMark = 1;
  bool is_awaited() const noexcept {
    return (reinterpret_cast<std::uintptr_t>(promise_) & kAwaitedMark) != 0;
  }
  detail::PromiseBase& awaited_promise() const noexcept {
    return *reinterpret_cast<detail::PromiseBase*>(reinterpret_cast<std::uintptr_t>(promise_) &
                                                   ~kAwaitedMark);
  }
  void take_from(Coro& other) noexcept {
    promise_ = std::exchange(other.promise_, nullptr);
    if (AIOFIBER_UNLIKELY(is_awaited())) awaited_promise().named = &promise_;
  }
  // RuntimeError: it was awaited before, or is being awaited.
  void check_not_awaited() const {
    if (promise_ == nullptr) detail::throw_reused();
    if (is_awaited()) detail::throw_awaited_already();
  }
  // For an await of a named one.
  Coro begin_await() {
    check_not_awaited();
    detail::PromiseBase& promise = *promise_;
    promise.named = &promise_;
    promise_ =
        reinterpret_cast<detail::PromiseBase*>(reinterpret_cast<std::uintptr_t>(promise_) | kAwaitedMark);
    return Coro(promise);
  }
  void destroy() noexcept {
    if (promise_ == nullptr) return;
    if (AIOFIBER_UNLIKELY(is_awaited())) {
      awaited_promise().named = nullptr;
      return;
    }
    if (!promise_->begun()) detail::report_never_awaited(promise_->entry(), promise_->origin);
    close();
  }
  // Begins it on top of the chain.
  void enter(detail::CoroChain& chain) {
    check_not_awaited();
    chain.enter(*promise_, &promise_);
  }
  // The error, or null, once it has ended.
  std::exception_ptr take_error() noexcept {
    return promise_ != nullptr ? std::exchange(promise_->error, nullptr) : nullptr;
  }
  // The result, once it has ended.
  T take() { return static_cast<promise_type*>(promise_)->take(); }

  detail::PromiseBase* promise_ = nullptr;  // of type promise_type; owns the frame
};

namespace detail {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) const noexcept {
    chain_of(coroutine).leave(coroutine.promise());
  }
  void await_resume() const noexcept {}
};

// co_await of a Coro. `F`: the callable that made it, which lives as long as it does; void: there is none.
template <class T, class F = void>
class CoroAwaiter {
  struct NoFunction {};
  using Function = std::conditional_t<std::is_void_v<F>, NoFunction, F>;

 public:
  explicit CoroAwaiter(Coro<T> coroutine) noexcept requires std::is_void_v<F>
      : coroutine_(std::move(coroutine)) {}
  explicit CoroAwaiter(Function&& fn) requires(!std::is_void_v<F>)
      : fn_(std::forward<Function>(fn)), coroutine_(std::invoke(fn_)) {}
  CoroAwaiter(const CoroAwaiter&) = delete;
  CoroAwaiter& operator=(const CoroAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    coroutine_.enter(chain_of(coroutine));
  }
  T await_resume() { return coroutine_.take(); }

 private:
  [[no_unique_address]] Function fn_;
  Coro<T> coroutine_;
};

// co_await of a Coroutine: on a stack, unless it has a form that needs none.
template <class T, class C>
class CoroutineAwaiter {
  struct Run {
    C coroutine;
    T operator()() { return coroutine.run(); }
  };

 public:
  explicit CoroutineAwaiter(C&& coroutine) : on_stack_(Run{std::forward<C>(coroutine)}) {}
  CoroutineAwaiter(const CoroutineAwaiter&) = delete;
  CoroutineAwaiter& operator=(const CoroutineAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    if (auto& call = on_stack_.function().coroutine; call.has_stackless_form()) {
      stackless_.emplace(call.stackless_form());
      stackless_->await_suspend(coroutine);
    } else {
      on_stack_.await_suspend(coroutine);
    }
  }
  T await_resume() { return stackless_ ? stackless_->await_resume() : on_stack_.await_resume(); }

 private:
  CallAwaiter<T, Run> on_stack_;
  std::optional<CoroAwaiter<T>> stackless_;
};

// The meaning of co_await in all coroutine types of this library.
class AwaitingPromise : public PromiseBase {
 public:
  // For the library's own coroutines.
  SleepAwaiter await_transform(SleepFor sleep, Place here = AIOFIBER_HERE) {
    note_place(here);
    return SleepAwaiter(sleep.delay);
  }
  template <class A>
  auto await_transform(A&& awaitable, Place here = AIOFIBER_HERE) {
    note_place(here);
    using X = std::remove_cvref_t<A>;
    constexpr bool is_temporary = !std::is_lvalue_reference_v<A>;
    if constexpr (requires { typename X::OwnAwaiter; }) {
      return std::forward<A>(awaitable);
    } else if constexpr (FutureLike<X>) {
      using T = typename X::value_type;
      static_assert(
          is_temporary || std::is_void_v<T> || std::is_reference_v<T> || std::is_copy_constructible_v<T>,
          "this result can only be moved: use co_await std::move(future) to take it");
      return FutureAwaiter<T, is_temporary>(Future<T>(std::forward<A>(awaitable)));
    } else if constexpr (IsCoro<X>::value) {
      if constexpr (is_temporary) {
        return CoroAwaiter<typename X::value_type>(std::move(awaitable));
      } else {
        return CoroAwaiter<typename X::value_type>(awaitable.begin_await());
      }
    } else if constexpr (CoroutineLike<X>) {
      return CoroutineAwaiter<typename X::value_type, A>(std::forward<A>(awaitable));
    } else if constexpr (ForeignLike<A>) {
      return ForeignAwaiter<A>(std::forward<A>(awaitable));
    } else if constexpr (CallableLike<X>) {
      using R = std::invoke_result_t<X&>;
      if constexpr (IsCoro<R>::value) {
        return CoroAwaiter<typename R::value_type, A>(std::forward<A>(awaitable));
      } else {
        return CallAwaiter<R, A>(std::forward<A>(awaitable));
      }
    } else {
      static_assert(
          is_awaitable<X>,
          "this cannot be awaited: give a Future, a Task, a Coroutine, a Coro, an awaitable of another "
          "library, or a callable without arguments (a function with arguments wants a lambda "
          "around it)");
      return FinalAwaiter();
    }
  }

 protected:
  using PromiseBase::PromiseBase;
};

template <class T>
class CoroPromise final : public AwaitingPromise {
 public:
  CoroPromise() noexcept : AwaitingPromise(std::coroutine_handle<CoroPromise>::from_promise(*this)) {}
  Coro<T> get_return_object() noexcept { return Coro<T>(*this); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
  template <class U = T>
  void return_value(U&& value) requires(!std::is_reference_v<T>) {
    value_.emplace(std::forward<U>(value));
  }
  void return_value(T value) requires std::is_reference_v<T> { value_.emplace(value); }

  T take() {
    if (AIOFIBER_UNLIKELY(error != nullptr)) std::rethrow_exception(std::move(error));
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(value_->get());
    } else {
      return std::move(*value_);
    }
  }

 private:
  std::optional<Stored<T>> value_;
};

template <>
class CoroPromise<void> final : public AwaitingPromise {
 public:
  CoroPromise() noexcept : AwaitingPromise(std::coroutine_handle<CoroPromise>::from_promise(*this)) {}
  Coro<void> get_return_object() noexcept { return Coro<void>(*this); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
  void return_void() const noexcept {}

  void take() {
    if (AIOFIBER_UNLIKELY(error != nullptr)) std::rethrow_exception(std::move(error));
  }
};

// Runs the chain on the stack of the current task until its coroutines are done.
void drive(TaskCore& task, CoroChain& chain);

// await() of a Coro: in the current task, which has a stack.
template <class T>
AIOFIBER_NOINLINE T drive_here(Coro<T>& awaited) {
  Coro<T> coroutine = awaited.begin_await();
  TaskCore* const task = current_task_core_with_stack();
  if (AIOFIBER_UNLIKELY(task == nullptr)) {
    coroutine.close();  // no never-awaited report: the error below is enough
    throw_outside_task();
  }
  CoroChain chain;
  coroutine.enter(chain);
  drive(*task, chain);
  return coroutine.take();
}

template <class A>
Coro<ResultOfForeign<A>> await_foreign(A awaitable) {
  co_return co_await std::forward<A>(awaitable);
}

// A task without a stack. F: a callable that makes its coroutine, and lives as long as it does; void: there
// is none.
template <class T, class F>
class CoroTask final : public TaskState<T> {
  struct NoFunction {};
  using Function = std::conditional_t<std::is_void_v<F>, NoFunction, std::optional<F>>;

 public:
  CoroTask(LoopCore& loop, Coro<T> coroutine) requires std::is_void_v<F> : TaskState<T>(loop),
                                                                           coroutine_(std::move(coroutine)) {}
  template <class G>
  CoroTask(LoopCore& loop, G&& fn) requires(!std::is_void_v<F>)
      : TaskState<T>(loop), fn_(std::in_place, std::forward<G>(fn)) {}

 protected:
  Stackless* stackless() noexcept override { return &stackless_; }
  void begin_coroutine() override {
    if constexpr (!std::is_void_v<F>) coroutine_ = std::invoke(*fn_);
    coroutine_.enter(stackless_.chain);
  }
  std::exception_ptr take_error() noexcept override { return coroutine_.take_error(); }
  void invoke() override {
    if constexpr (std::is_void_v<T>) {
      coroutine_.take();
      this->slot().emplace();
    } else {
      this->slot().emplace(coroutine_.take());
    }
  }
  void finish_value() override { this->finish(); }
  void destroy_closure() noexcept override {
    stackless_.chain.destroy_frames();
    coroutine_.close();  // cancelled before it began: no never-awaited report
    if constexpr (!std::is_void_v<F>) fn_.reset();
  }
  bool closure_contains(const void*) const noexcept override { return false; }

 private:
  [[no_unique_address]] Function fn_;
  Coro<T> coroutine_;  // empty until it begins, if there is a callable
  Stackless stackless_;
};

template <class T, class F>
Task<T> start_stackless_task(LoopCore& loop, F&& fn, const TaskOptions& options, EntryInfo entry) {
  loop.check_open();
  loop.check_thread();
  using Function = std::conditional_t<IsCoro<std::decay_t<F>>::value, void, std::decay_t<F>>;
  runtime::Ref<TaskState<T>> state(new CoroTask<T, Function>(loop, std::forward<F>(fn)));
  state->start(options, entry);
  launch_task(loop, *state, options.eager_start);
  return Task<T>(std::move(state));
}

}  // namespace detail

// Runs it in the current task, at once. RuntimeError: outside a task; in a task without a stack, which
// co_awaits it instead; awaited before.
template <class T>
AIOFIBER_ALWAYS_INLINE T await(Coro<T>&& coroutine) {
  return detail::call_without_tail_call<T, Coro<T>>(&detail::drive_here, coroutine);
}
template <class T>
AIOFIBER_ALWAYS_INLINE T await(Coro<T>& coroutine) {
  return detail::call_without_tail_call<T, Coro<T>>(&detail::drive_here, coroutine);
}
// The same for an awaitable of another library. The task goes on in its own thread, whichever thread resumes
// it.
// Cancellation: raised when the awaitable is done, because nothing can stop it earlier.
template <class A>
requires detail::ForeignLike<A> AIOFIBER_ALWAYS_INLINE ResultOf<A> await(A&& awaitable) {
  const auto call = [&awaitable] { return detail::await_foreign<A>(std::forward<A>(awaitable)); };
  return detail::call_without_tail_call<ResultOf<A>, decltype(call)>(&detail::call_here, call);
}

namespace detail {
// Calls the body of a scope in the current task, and awaits the result if it is a Coro.
template <class Body, class... Args>
AIOFIBER_ALWAYS_INLINE auto call_and_await(Body& body, Args&... args)
    -> Awaited<std::invoke_result_t<Body&, Args&...>> {
  if constexpr (IsCoro<std::invoke_result_t<Body&, Args&...>>::value) {
    auto coroutine = std::invoke(body, args...);
    return drive_here(coroutine);
  } else {
    return std::invoke(body, args...);
  }
}
}  // namespace detail

template <class T>
Task<T> EventLoop::create_task(Coro<T> coroutine, TaskOptions options) {
  return detail::start_coroutine(*core_, std::move(coroutine), options);
}
template <class T>
Task<T> EventLoop::create_task(Coro<T> coroutine) {
  return detail::start_coroutine(*core_, std::move(coroutine), TaskOptions{});
}
// Makes a task without a stack. Errors as for other tasks.
template <class T>
Task<T> create_task(Coro<T> coroutine) {
  return get_running_loop().create_task(std::move(coroutine));
}
template <class T>
Task<T> create_task(Coro<T> coroutine, TaskOptions options) {
  return get_running_loop().create_task(std::move(coroutine), std::move(options));
}

}  // namespace aiofiber
