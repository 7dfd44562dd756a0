// SPDX-License-Identifier: Apache-2.0
//
// concurrent::Future<R>: a result that travels between threads; and the bridges to a loop's futures.
//
// Source: concurrent.futures.Future, asyncio.run_coroutine_threadsafe, asyncio.wrap_future. States: pending
// -> running -> finished, or pending -> cancelled; cancel() of a running future fails. Waiting for it blocks
// the *thread*. In a task, use await(wrap_future(f)) instead.
// Threads: any. Callbacks run on the thread that completes the future, or at once if it is done already.
//
//     asyncio::EventLoop& loop = asyncio::get_running_loop();
//     auto answer = asyncio::to_thread([&loop] {  // in a thread, which waits for the loop
//       return asyncio::run_coroutine_threadsafe([] { return 42; }, loop).result();
//     });
//     assert(asyncio::await(std::move(answer)) == 42);
//
// Wrong: result() on the loop's own thread, which then waits for itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/future.h"
#include "aiofiber/result.h"
#include "aiofiber/thread_gate.h"

namespace aiofiber {

namespace concurrent {
template <class R>
class Future;
}

namespace detail {
// How a loop's future gets the result of the concurrent future that it follows.
enum class Claim : unsigned char {
  kCopy,  // others may read the concurrent future too
  kMove,  // no other handle exists
};
template <class T>
Future<T> follow(concurrent::Future<T> source, EventLoop& loop, Claim claim, std::uintptr_t called = 0);

// The future of a call on another thread, marked as such for debuggers. `called`: the address of its
// function, 0 if unknown.
template <class T>
class ThreadFuture final : public FutureState<T> {
 public:
  ThreadFuture(LoopCore& loop, std::uintptr_t called) : FutureState<T>(loop), called_(called) {
    this->wait_kind = AIOFIBER_WAIT_THREAD;
  }
  const void* wait_object() const noexcept override { return reinterpret_cast<const void*>(called_); }

 private:
  std::uintptr_t called_;
};
}  // namespace detail

namespace concurrent {

// The future was cancelled (concurrent.futures.CancelledError). Unlike aiofiber::CancelledError, this is an
// ordinary error.
class CancelledError : public std::runtime_error {
 public:
  CancelledError() : std::runtime_error("") {}
};

namespace detail {

class StateBase {
 public:
  struct Callback {
    virtual ~Callback() = default;
    virtual void call() = 0;
  };

  bool cancel();
  bool cancelled() const;
  bool running() const;
  bool done() const;
  bool set_running_or_notify_cancel();
  // Blocks the thread until the future is done. TimeoutError.
  void wait(std::optional<Duration> timeout);
  std::exception_ptr exception(std::optional<Duration> timeout);
  void set_exception(std::exception_ptr exception);
  // Sets RuntimeError "Event loop is closed", unless the future is done.
  void loop_closed() noexcept;
  void add_callback(std::unique_ptr<Callback> callback);
  // Blocks, then throws if there is no value.
  void check_result(std::optional<Duration> timeout);

 protected:
  ~StateBase() = default;
  enum class Phase : unsigned char { kPending, kRunning, kCancelled, kFinished };
  // InvalidStateError unless the future is pending or running. The caller holds the mutex.
  void check_settable() const;
  void finish(std::unique_lock<std::mutex> lock, Phase phase);

  mutable std::mutex mutex_;

 private:
  bool is_done() const noexcept { return phase_ == Phase::kCancelled || phase_ == Phase::kFinished; }
  static void run(Callback& callback) noexcept;
  struct ThreadWait;  // a thread in wait()

  ThreadWait* waits_ = nullptr;  // guarded by mutex_, as all below
  Phase phase_ = Phase::kPending;
  std::exception_ptr exception_;
  std::vector<std::unique_ptr<Callback>> callbacks_;
};

template <class R>
class State final : public StateBase {
 public:
  template <class... U>
  void set_value(U&&... value) {
    std::unique_lock lock(mutex_);
    check_settable();
    value_.emplace(std::forward<U>(value)...);
    finish(std::move(lock), Phase::kFinished);
  }
  // Precondition: finished without an exception. Copies the value; a move-only value is moved out.
  R get() {
    if constexpr (!std::is_reference_v<R> && !std::is_void_v<R> && is_copyable<R>) {
      return *value_;
    } else {
      return take();
    }
  }
  // The same for the only reader: moves the value out.
  R take() {
    if constexpr (std::is_reference_v<R>) {
      return value_->get();
    } else if constexpr (!std::is_void_v<R>) {
      return std::move(*value_);
    }
  }

 private:
  std::optional<Stored<R>> value_;  // guarded by mutex_ until done, constant afterwards
};

}  // namespace detail

// A handle; copies refer to the same future.
template <class R = void>
class [[nodiscard]] Future {
 public:
  using value_type = R;

  Future() : state_(std::make_shared<detail::State<R>>()) {}

  // Blocks the thread until the future is done, for at most `timeout`, and gives a copy of the value. A
  // move-only value is moved out. Errors: the exception of the work; TimeoutError: the work goes on;
  // concurrent::CancelledError.
  R result(std::optional<Duration> timeout = std::nullopt) const {
    state_->check_result(timeout);
    return state_->get();
  }
  // The same for the exception; null if there is none. TimeoutError; concurrent::CancelledError.
  std::exception_ptr exception(std::optional<Duration> timeout = std::nullopt) const {
    return state_->exception(timeout);
  }
  // False if it runs or is done. A cancelled future is done at once; the work is told if possible.
  bool cancel() const { return kept()->cancel(); }
  bool cancelled() const { return state_->cancelled(); }  // any thread
  bool running() const { return state_->running(); }      // the work has begun and is not done; any thread
  bool done() const { return state_->done(); }            // finished or cancelled; any thread
  // Calls fn(concurrent::Future<R>) on the thread that completes the future, or now if it is done. An
  // exception of fn is logged.
  template <class F>
  void add_done_callback(F&& fn) const {
    static_assert(std::is_invocable_v<std::decay_t<F>&, Future>,
                  "a done-callback is called with the future: fn(concurrent::Future<R>)");
    struct Bound final : detail::StateBase::Callback {
      Bound(F&& function, const std::shared_ptr<detail::State<R>>& future)
          : fn(std::forward<F>(function)), state(future) {}
      void call() override { fn(Future(state.lock())); }
      std::decay_t<F> fn;
      // The state owns the callback; the completing thread keeps the state.
      std::weak_ptr<detail::State<R>> state;
    };
    state_->add_callback(std::make_unique<Bound>(std::forward<F>(fn), state_));
  }

  // ---- for the code that does the work
  // Marks the future as running. False: it was cancelled; do not do the work. InvalidStateError if it runs or
  // is done.
  bool set_running_or_notify_cancel() const { return state_->set_running_or_notify_cancel(); }
  // InvalidStateError if the future is done.
  template <class U = R>
  requires(!std::is_void_v<R>) void set_result(U&& value) const {
    if constexpr (std::is_reference_v<R>) {
      kept()->set_value(std::ref(value));
    } else {
      static_assert(std::is_constructible_v<R, U>, "set_result() takes what the future's type is made of");
      if constexpr (std::is_constructible_v<R, U>) kept()->set_value(std::forward<U>(value));
    }
  }
  // Ends a Future<void>. InvalidStateError if it is done.
  void set_result() const requires std::is_void_v<R> { kept()->set_value(); }
  // Ends it with an exception. InvalidStateError if it is done; TypeError: null.
  void set_exception(std::exception_ptr exception) const { kept()->set_exception(std::move(exception)); }
  // For a future whose loop was closed: ends it with RuntimeError "Event loop is closed", unless it is done.
  void loop_closed() const noexcept { kept()->loop_closed(); }

  friend bool operator==(const Future& a, const Future& b) noexcept = default;

 private:
  template <class T>
  friend aiofiber::Future<T> aiofiber::detail::follow(Future<T> source, EventLoop& loop,
                                                      aiofiber::detail::Claim claim, std::uintptr_t called);
  explicit Future(std::shared_ptr<detail::State<R>> state) : state_(std::move(state)) {}
  // For code that runs callbacks: a callback may destroy this handle, and the next one still needs the state.
  std::shared_ptr<detail::State<R>> kept() const noexcept { return state_; }
  std::shared_ptr<detail::State<R>> state_;
};

}  // namespace concurrent

namespace detail {

// Whether the exception is concurrent::CancelledError, which cancels a loop's future.
bool is_concurrent_cancel(const std::exception_ptr& exception) noexcept;

// Copies the outcome of a done loop future to a concurrent one. If the copy or move of the value throws, that
// error is the outcome.
template <class T>
void copy_outcome(Future<T> source, const concurrent::Future<T>& destination) {
  if (source.cancelled()) destination.cancel();
  if (destination.cancelled() || !destination.set_running_or_notify_cancel()) return;
  if (source.state().failed()) {
    destination.set_exception(source.exception());
  } else if constexpr (std::is_void_v<T>) {
    destination.set_result();
  } else {
    try {
      destination.set_result(std::move(source).result());
    } catch (...) {
      if (!destination.done()) destination.set_exception(std::current_exception());
    }
  }
}

// Makes the concurrent future follow the loop's future, and passes cancellation in the other direction.
// Loop's thread.
template <class T>
void chain(const Future<T>& source, const concurrent::Future<T>& destination) {
  struct CancelLink final : ThreadGate::Link {
    CancelLink(Future<T> from, concurrent::Future<T> to) : future(std::move(from)), follower(std::move(to)) {}
    void arrive() override { future.cancel(); }
    void loop_closed() noexcept override {
      try {
        if (future.done()) copy_outcome(future, follower);  // the callback below was dropped
      } catch (...) {
        // The requesting thread saw first that the loop is closed, and has completed the future.
      }
      follower.loop_closed();
    }
    Future<T> future;
    concurrent::Future<T> follower;
  };
  ThreadGate& gate = ThreadGate::of(source.state().loop());
  const std::uint64_t id = gate.add(std::make_unique<CancelLink>(source, destination));
  try {
    destination.add_done_callback([held = gate.shared_from_this(), id](const concurrent::Future<T>& future) {
      if (future.cancelled()) held->post(id);
    });
    Future<T> observed = source;
    observed.add_done_callback([destination, held = gate.shared_from_this(), id](Future<T> future) {
      held->remove(id);
      copy_outcome(std::move(future), destination);
    });
  } catch (...) {
    gate.remove(id);
    throw;
  }
}

// A future on its way to the loop. If the loop drops it, the future ends with an error.
template <class R>
class FutureUnderWay {
 public:
  explicit FutureUnderWay(concurrent::Future<R> future) noexcept : future_(std::move(future)) {}
  FutureUnderWay(FutureUnderWay&& other) noexcept : future_(std::exchange(other.future_, std::nullopt)) {}
  FutureUnderWay& operator=(FutureUnderWay&&) = delete;
  ~FutureUnderWay() {
    if (future_) future_->loop_closed();
  }
  concurrent::Future<R> arrive() noexcept { return *std::exchange(future_, std::nullopt); }

 private:
  std::optional<concurrent::Future<R>> future_;
};

}  // namespace detail

// Schedules a coroutine object or a callable without arguments on a loop that runs in another thread.
// The calling thread may wait for the returned future (RT1-RT10). The future receives the task's exception
// and its cancellation. Cancelling the future requests the cancellation of the task. After a TimeoutError of
// result() the task goes on. If the loop closes first, the future ends with RuntimeError "Event loop is
// closed" once the task is unwound. Threads: any.
// The loop must not be destroyed during the call. Errors: RuntimeError "Event loop is closed". Source:
// asyncio.run_coroutine_threadsafe.
template <class A>
concurrent::Future<ResultOf<A>> run_coroutine_threadsafe(A&& awaitable, EventLoop& loop) {
  static_assert(detail::CoroutineLike<A> || detail::CallableLike<A>,
                "run_coroutine_threadsafe() takes a Coroutine or a callable without arguments; a future "
                "belongs to its loop's thread");
  using R = ResultOf<A>;
  concurrent::Future<R> future;
  loop.call_soon_threadsafe([core = &loop.core(), coroutine = std::decay_t<A>(std::forward<A>(awaitable)),
                             under_way = detail::FutureUnderWay<R>(future)]() mutable {
    const concurrent::Future<R> follower = under_way.arrive();
    try {
      const auto task = detail::ensure_on(*core, std::move(coroutine));
      try {
        detail::chain(static_cast<const Future<R>&>(task), follower);
      } catch (...) {
        task.cancel();  // the requesting thread gets only this error
        throw;
      }
    } catch (...) {
      const std::exception_ptr exception = std::current_exception();
      if (!detail::leaves_the_loop(exception) && follower.set_running_or_notify_cancel())
        follower.set_exception(exception);
      throw;
    }
  });
  // If the loop was closed meanwhile, it may have missed the call.
  if (loop.core().closed_after_post()) future.loop_closed();
  return future;
}

namespace detail {

// See wrap_future().
template <class T>
Future<T> follow(concurrent::Future<T> source, EventLoop& loop, Claim claim, std::uintptr_t called) {
  struct OutcomeLink final : ThreadGate::Link {
    OutcomeLink(concurrent::Future<T> from, Future<T> to, Claim its_claim)
        : source(std::move(from)), destination(std::move(to)), claim(its_claim) {}
    void arrive() override {
      if (destination.done()) return;
      try {
        deliver();
      } catch (...) {
        // The copy or move of the value threw: the waiter gets this error as it gets one of the work.
        if (destination.done()) throw;
        destination.set_exception(std::current_exception());
      }
    }
    void deliver() {
      if (source.cancelled()) {
        destination.cancel();
      } else if (const std::exception_ptr exception = source.exception()) {
        if (is_concurrent_cancel(exception)) {
          destination.cancel();
        } else {
          destination.set_exception(exception);
        }
      } else if constexpr (std::is_void_v<T>) {
        destination.set_result();
      } else if constexpr (std::is_reference_v<T>) {
        destination.set_result(source.result());
      } else {
        if (claim == Claim::kMove) {
          destination.set_result(source.state_->take());
        } else {
          destination.set_result(source.result());
        }
      }
    }
    concurrent::Future<T> source;
    Future<T> destination;
    Claim claim;
  };
  ThreadGate& gate = ThreadGate::of(loop.core());
  Future<T> destination(runtime::Ref<FutureState<T>>(new ThreadFuture<T>(loop.core(), called)));
  const std::uint64_t id = gate.add(std::make_unique<OutcomeLink>(source, destination, claim));
  try {
    destination.add_done_callback([source, held = gate.shared_from_this(), id](const Future<T>& future) {
      if (!future.cancelled()) return;
      source.cancel();
      held->remove(id);
    });
    source.add_done_callback(
        [held = gate.shared_from_this(), id](const concurrent::Future<T>&) { held->post(id); });
  } catch (...) {
    gate.remove(id);
    throw;
  }
  return destination;
}

}  // namespace detail

// A future of the loop (nullptr: the current one) that follows a concurrent future. Cancelling it cancels the
// concurrent future if that has not begun. A result that arrives after the loop was closed is dropped. If the
// copy of a result throws, the future gets that error.
// RuntimeError: no loop, or a closed one. Source: asyncio.wrap_future.
template <class T>
Future<T> wrap_future(const concurrent::Future<T>& source, EventLoop* loop = nullptr) {
  return detail::follow(source, loop != nullptr ? *loop : get_event_loop(), detail::Claim::kCopy);
}
// A loop's future is returned unchanged.
template <class T>
Future<T> wrap_future(const Future<T>& future, EventLoop* = nullptr) {
  return future;
}

}  // namespace aiofiber
