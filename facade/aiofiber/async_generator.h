// SPDX-License-Identifier: Apache-2.0
//
// AsyncGenerator<T>: a coroutine that gives values one by one, with co_yield, and may wait in between.
//
// A coroutine takes them with `while (auto item = co_await generator.next()) use(*item);`, a task with a
// stack with a plain `for (T& item : generator)`. The generator runs in the task that asks for the next
// value, and only while that task waits for it. Handles are cheap and refer to the same generator; its frame
// is destroyed with the last one. Source: Python's asynchronous generators (PEP 525), with aclose() and
// loop.shutdown_asyncgens().
//
//     auto count = [](int end) -> asyncio::AsyncGenerator<int> {
//       for (int i = 0; i < end; ++i) {
//         co_await asyncio::sleep(1ms);
//         co_yield i;
//       }
//     };
//     int sum = 0;
//     for (int value : count(4)) sum += value;  // in a task with a stack; co_await next() elsewhere
//     assert(sum == 6);
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/coro.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/runtime/engine/intrusive.h"

namespace aiofiber {

template <class T>
class AsyncGenerator;

namespace detail {

// The part of a generator that does not depend on the type of its values. It is in the list of its loop from
// its first step to its end.
class GeneratorBase : public AwaitingPromise, public runtime::ListNode {
 public:
  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) handle().destroy();
  }

  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() noexcept {
    finish();
    return FinalAwaiter();
  }
  void unhandled_exception() noexcept { error = std::current_exception(); }
  void return_void() const noexcept {}

  // True also for a generator whose task was destroyed while it ran.
  bool finished() const noexcept {
    return state_ == State::kFinished || (state_ == State::kRunning && chain == nullptr);
  }
  // co_await: runs it up to its next co_yield, or to its end. RuntimeError: it runs already. `closing`: its
  // co_yield throws GeneratorExit.
  class Step;
  Step step(bool closing);
  // What aclose() does. Errors: RuntimeError, if it yields again; an exception of its code.
  static Coro<void> close(runtime::Ref<GeneratorBase> generator);

 protected:
  explicit GeneratorBase(std::coroutine_handle<> self) noexcept : AwaitingPromise(self) {}
  ~GeneratorBase() {
    if (linked()) unlink();
  }

  // co_yield: gives control back to the caller of next(). It goes on with the next step, or throws
  // GeneratorExit when the generator is closed.
  struct Yield {
    GeneratorBase& generator;
    explicit Yield(GeneratorBase& self) noexcept : generator(self) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {
      generator.state_ = State::kYielded;
      generator.chain->leave(generator);
    }
    void await_resume() const {
      if (AIOFIBER_UNLIKELY(generator.closing_)) throw GeneratorExit();
    }
  };

 private:
  enum class State : unsigned char { kCreated, kRunning, kYielded, kFinished };
  void check_not_running(bool closing) const;
  // Puts it into the list of its loop, the first time.
  void begin_step() noexcept;
  void finish() noexcept {
    state_ = State::kFinished;
    if (linked()) unlink();
  }

  std::uint32_t references_ = 0;
  State state_ = State::kCreated;
  bool closing_ = false;
};

class GeneratorBase::Step {
 public:
  using OwnAwaiter = void;
  explicit Step(GeneratorBase& generator) noexcept : generator_(generator) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    generator_.begin_step();
    chain_of(coroutine).enter(generator_, nullptr);
  }
  // Throws the exception that ended it.
  void await_resume() {
    if (generator_.error != nullptr) std::rethrow_exception(std::exchange(generator_.error, nullptr));
  }

 private:
  GeneratorBase& generator_;
};
inline GeneratorBase::Step GeneratorBase::step(bool closing) {
  check_not_running(closing);
  closing_ = closing;
  return Step(*this);
}

template <class T>
class GeneratorPromise final : public GeneratorBase {
 public:
  GeneratorPromise() noexcept : GeneratorBase(std::coroutine_handle<GeneratorPromise>::from_promise(*this)) {}
  AsyncGenerator<T> get_return_object() noexcept;

  template <class U = T>
  Yield yield_value(U&& value, Place here = AIOFIBER_HERE) {
    note_place(here);
    value_.emplace(std::forward<U>(value));
    return Yield(*this);
  }
  // The value that was yielded last; none once it has finished.
  std::optional<T> take() { return std::exchange(value_, std::nullopt); }

 private:
  std::optional<T> value_;
};

// Closes all generators of the loop that have begun and not finished (EventLoop::shutdown_asyncgens).
Coro<void> close_generators(LoopCore& loop);

}  // namespace detail

// T: an object type, which may be move-only.
template <class T>
class AsyncGenerator {
  static_assert(std::is_object_v<T>,
                "an AsyncGenerator gives objects; use std::reference_wrapper for references");

 public:
  using value_type = T;
  using promise_type = detail::GeneratorPromise<T>;

  explicit AsyncGenerator(runtime::Ref<promise_type> generator) noexcept : generator_(std::move(generator)) {}

  // Runs the generator up to its next value; none: it has finished, and stays so. An exception of its code
  // ends it and comes out here. RuntimeError: another task waits for its next value.
  // Cancellation: raised in the generator, at the place where it waits.
  Coro<std::optional<T>> next() const { return next_of(generator_); }
  // Ends the generator: GeneratorExit is thrown at its co_yield, so that it can clean up, and wait for that.
  // A generator that has not begun never runs. RuntimeError: it yields again, or runs.
  Coro<void> aclose() const { return detail::GeneratorBase::close(generator_); }

  // For a task with a stack: each step of the loop awaits the next value.
  struct Sentinel {};
  // Moves from value to value of a range-for in a task; an input iterator.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;

    explicit Iterator(const AsyncGenerator& generator)
        : generator_(generator), item_(await(generator.next())) {}
    T& operator*() noexcept { return *item_; }
    T* operator->() noexcept { return &*item_; }
    Iterator& operator++() {
      item_ = await(generator_.next());
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(Sentinel) const noexcept { return !item_; }

   private:
    AsyncGenerator generator_;
    std::optional<T> item_;
  };
  // RuntimeError in a task without a stack: it uses next().
  Iterator begin() const { return Iterator(*this); }
  Sentinel end() const noexcept { return {}; }

 private:
  static Coro<std::optional<T>> next_of(runtime::Ref<promise_type> generator) {
    if (generator->finished()) co_return std::nullopt;
    co_await generator->step(false);
    co_return generator->take();
  }
  runtime::Ref<promise_type> generator_;
};

template <class T>
AsyncGenerator<T> detail::GeneratorPromise<T>::get_return_object() noexcept {
  return AsyncGenerator<T>(runtime::Ref<GeneratorPromise>(this));
}

}  // namespace aiofiber
