// SPDX-License-Identifier: Apache-2.0
//
// Coroutine<T>: a call that has not been made yet: a function with its arguments, which runs once.
//
// It runs when it is awaited (at once, in the current task) or when it is scheduled as a task. A small
// callable is stored inline, so the awaitables of this library need no allocation.
//
// A Coroutine in the function of a Coroutine makes a chain of any length. Its end does not recurse where the
// Coroutine is the last thing that its function object destroys (EndsWithCoroutine): then it is as right to
// destroy it right after that object.
// Differs from asyncio: any callable without arguments is accepted where asyncio wants a coroutine object,
// and is called when scheduled.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "aiofiber/exceptions.h"
#include "aiofiber/handle.h"
#include "aiofiber/source_trace.h"

namespace aiofiber {

struct TaskOptions;
template <class T>
class Coro;
template <class T>
class Coroutine;

namespace detail {
void report_never_awaited(EntryInfo entry, const SourceTrace& origin) noexcept;
[[noreturn]] void throw_reused();
[[noreturn]] void throw_awaited_already();

template <class X>
inline constexpr bool is_a_coroutine = false;
template <class T>
inline constexpr bool is_a_coroutine<Coroutine<T>> = true;
// Whether destroying these members runs no code but that of one Coroutine among them.
template <class... Members>
inline constexpr bool only_a_coroutine_ends = (int{is_a_coroutine<Members>} + ... + 0) == 1 &&
                                              ((is_a_coroutine<Members> ||
                                                std::is_trivially_destructible_v<Members>)&&...);
// Whether a Coroutine inside an F is the last thing that the destructor of F destroys: F says so, or a
// Coroutine fills it, as in a lambda that captures nothing else.
template <class F>
struct EndsWithCoroutine : std::false_type {};

// A function object on the heap that is to be destroyed.
struct HeapFunction {
  void* object;
  std::size_t bytes;
  void (*destroy)(void*) noexcept;
};
// Destroys the function object, which has the properties of EndsWithCoroutine, of the Coroutine with this
// storage. If that Coroutine lies in such an object, which is being destroyed on this thread, it is destroyed
// after that one, by whoever destroys that one.
void end_in_turn(const void* storage, const HeapFunction& function) noexcept;
}  // namespace detail

// A call that begins when it is awaited or made a task, and gives a T. Moved, not copied; it runs once.
// Source: a coroutine object. Errors: RuntimeError: a second await.
template <class T>
class [[nodiscard]] Coroutine {
 public:
  using value_type = T;

  // A call of `fn`, which is moved or copied into it.
  template <class F>
  requires(!std::same_as<std::decay_t<F>, Coroutine> &&
           std::is_invocable_r_v<T, std::decay_t<F>&>) explicit Coroutine(F&& fn) {
    using Function = std::decay_t<F>;
    static_assert(std::is_nothrow_destructible_v<Function>,
                  "the function of a Coroutine must not throw when it is destroyed: wrap what it owns");
    if constexpr (fits<Function>) {
      new (storage_) Function(std::forward<F>(fn));
      operations_ = &kInline<Function>;
    } else {
      *reinterpret_cast<Function**>(storage_) = new Function(std::forward<F>(fn));
      operations_ = &kHeap<Function>;
    }
  }
  Coroutine(Coroutine&& other) noexcept
      : origin_(std::move(other.origin_)), operations_(other.operations_), state_(other.state_) {
    if (operations_ != nullptr) operations_->move(storage_, other.storage_);
    other.operations_ = nullptr;
    other.state_ = State::kDone;
  }
  Coroutine& operator=(Coroutine&& other) noexcept {
    if (this != &other) {
      this->~Coroutine();
      new (this) Coroutine(std::move(other));
    }
    return *this;
  }
  ~Coroutine() {
    if (operations_ == nullptr) return;
    if (state_ == State::kCreated) detail::report_never_awaited(operations_->entry(storage_), origin_);
    destroy_callable();
  }

  // Drops the call without the never-awaited report.
  void close() noexcept {
    if (operations_ == nullptr) return;
    state_ = State::kDone;
    destroy_callable();
    operations_ = nullptr;
  }
  detail::EntryInfo entry() const noexcept {
    return operations_ != nullptr ? operations_->entry(storage_) : detail::EntryInfo{};
  }

  // A Coro that does the same: for a function object with a member function stackless_form(), which a
  // coroutine can await without a stack. The call counts as made. Precondition: there is one; not made yet.
  bool has_stackless_form() const noexcept {
    return state_ == State::kCreated && operations_ != nullptr && operations_->stackless_form != nullptr;
  }
  Coro<T> stackless_form() {
    state_ = State::kDone;
    return operations_->stackless_form(storage_);
  }

  // Makes the call, once; for await() and tasks. RuntimeError: the call was made already, or is running.
  T run() {
    if (state_ == State::kRunning) detail::throw_awaited_already();
    if (state_ == State::kDone) detail::throw_reused();
    state_ = State::kRunning;
    struct Finish {
      Coroutine& self;
      ~Finish() { self.state_ = State::kDone; }
    } finish{*this};
    return operations_->invoke(storage_);
  }

 private:
  static constexpr std::size_t kInlineBytes = 64;
  enum class State : unsigned char { kCreated, kRunning, kDone };
  struct Operations {
    T (*invoke)(void*);
    void (*move)(void* to, void* from) noexcept;
    void (*destroy)(void*) noexcept;  // null: nothing to do
    detail::EntryInfo (*entry)(const void*) noexcept;
    Coro<T> (*stackless_form)(void*);  // null: there is none
  };
  template <class F>
  static constexpr bool fits =
      sizeof(F) <= kInlineBytes &&
      alignof(F) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<F>;

  template <class F>
  static detail::EntryInfo entry_info(const F& fn) noexcept {
    if constexpr (requires { fn.entry(); }) {
      return fn.entry();
    } else {
      return detail::entry_of(fn);
    }
  }
  void destroy_callable() noexcept {
    if (operations_->destroy != nullptr) operations_->destroy(storage_);
  }
  template <class F>
  AIOFIBER_ALWAYS_INLINE static T call(F& fn) {
    if constexpr (std::is_void_v<T>) {
      static_cast<void>(std::invoke(fn));
    } else {
      return std::invoke(fn);
    }
  }
  template <class F>
  AIOFIBER_ALWAYS_INLINE static T invoke_inline(void* storage) {
    return call(*static_cast<F*>(storage));
  }
  template <class F>
  static constexpr auto stackless_form_of() noexcept -> Coro<T> (*)(void*) {
    if constexpr (requires(F & fn) { fn.stackless_form(); }) {
      return [](void* storage) -> Coro<T> {
        if constexpr (fits<F>) {
          return static_cast<F*>(storage)->stackless_form();
        } else {
          return (*static_cast<F**>(storage))->stackless_form();
        }
      };
    } else {
      return nullptr;
    }
  }
  template <class F>
  static void destroy_on_heap(void* storage) noexcept {
    F* const function = *static_cast<F**>(storage);
    if constexpr (detail::EndsWithCoroutine<F>::value || sizeof(F) == sizeof(Coroutine)) {
      detail::end_in_turn(
          storage, {function, sizeof(F), [](void* object) noexcept { delete static_cast<F*>(object); }});
    } else {
      delete function;
    }
  }
  template <class F>
  static constexpr Operations kInline{
      &invoke_inline<F>,
      [](void* to, void* from) noexcept {
        new (to) F(std::move(*static_cast<F*>(from)));
        static_cast<F*>(from)->~F();
      },
      std::is_trivially_destructible_v<F> ? nullptr
                                          : +[](void* storage) noexcept { static_cast<F*>(storage)->~F(); },
      [](const void* storage) noexcept { return entry_info(*static_cast<const F*>(storage)); },
      stackless_form_of<F>()};
  template <class F>
  static constexpr Operations kHeap{
      [](void* storage) -> T { return call(**static_cast<F**>(storage)); },
      [](void* to, void* from) noexcept { *static_cast<F**>(to) = *static_cast<F**>(from); },
      &destroy_on_heap<F>,
      [](const void* storage) noexcept { return entry_info(**static_cast<F* const*>(storage)); },
      stackless_form_of<F>()};

  detail::OriginTrace origin_;
  alignas(std::max_align_t) unsigned char storage_[kInlineBytes];
  const Operations* operations_;
  State state_ = State::kCreated;
};

namespace detail {
// A function with its arguments, as a callable without arguments that knows the name of its function.
template <class F, class... Args>
struct Call {
  F fn;
  std::tuple<Args...> args;
  decltype(auto) operator()() {
    return std::apply([this](auto&... a) -> decltype(auto) { return std::invoke(fn, std::move(a)...); },
                      args);
  }
  EntryInfo entry() const noexcept { return entry_of(fn); }
};
template <class F, class... Args>
struct EndsWithCoroutine<Call<F, Args...>> : std::bool_constant<only_a_coroutine_ends<F, Args...>> {};
// A call in two forms: on a stack, and as a Coro, for a coroutine that awaits it.
template <class OnStack, class Stackless>
struct TwoForms {
  OnStack on_stack;
  Stackless stackless;
  decltype(auto) operator()() { return on_stack(); }
  auto stackless_form() { return stackless(); }
  EntryInfo entry() const noexcept { return entry_of(on_stack); }
};
template <class OnStack, class Stackless>
TwoForms(OnStack, Stackless) -> TwoForms<OnStack, Stackless>;

template <class X>
struct IsCoro : std::false_type {};
template <class T>
struct IsCoro<Coro<T>> : std::true_type {};
// A coroutine object of either type.
template <class X>
struct IsCoroutine : IsCoro<X> {};
template <class T>
struct IsCoroutine<Coroutine<T>> : std::true_type {};
// The result of awaiting a call: a Coro is awaited too.
template <class R>
struct AwaitedResult {
  using type = R;
};
template <class T>
struct AwaitedResult<Coro<T>> {
  using type = T;
};
template <class R>
using Awaited = typename AwaitedResult<R>::type;
template <class F, class... Args>
inline constexpr bool can_call = std::is_invocable_v<std::decay_t<F>&, std::decay_t<Args>...>;
template <class F, class... Args>
struct CallResultOf {
  using type = void;
  static_assert(
      can_call<F, Args...>,
      "the function cannot be called with these arguments (they are decay-copied, as by std::thread; "
      "use std::ref for a reference)");
};
template <class F, class... Args>
requires can_call<F, Args...>
struct CallResultOf<F, Args...> : std::invoke_result<std::decay_t<F>&, std::decay_t<Args>...> {
};
// False where the arguments belong to another overload: that is no error.
template <class F>
inline constexpr bool is_for_other_overload =
    std::is_same_v<std::decay_t<F>, TaskOptions> || IsCoroutine<std::decay_t<F>>::value;
template <class F, class... Args>
requires(is_for_other_overload<F> && !can_call<F, Args...>) struct CallResultOf<F, Args...> {
};
template <class F, class... Args>
using CallResult = typename CallResultOf<F, Args...>::type;

template <class F, class... Args>
auto bind_call(F&& fn, Args&&... args) {
  if constexpr (can_call<F, Args...>) {
    if (is_empty_callable(fn)) throw_empty_callable("create_task()");
    return Call<std::decay_t<F>, std::decay_t<Args>...>{std::forward<F>(fn), {std::forward<Args>(args)...}};
  } else {
    return [] {};  // CallResult reports the error: no second error here
  }
}
}  // namespace detail

// The result of coroutine(fn): a call to it only makes a Coroutine.
template <class F>
class CoroutineFunction {
 public:
  // coroutine(fn) makes one.
  explicit CoroutineFunction(F fn) : fn_(std::move(fn)) {}
  template <class... Args>
  auto operator()(Args&&... args) const {
    using R = detail::CallResult<F, Args...>;
    if constexpr (detail::IsCoro<R>::value) {
      return std::invoke(fn_, std::forward<Args>(args)...);  // it does nothing before it is awaited
    } else {
      return Coroutine<R>(detail::bind_call(fn_, std::forward<Args>(args)...));
    }
  }

 private:
  F fn_;
};

// The decorator @asyncio.coroutine.
template <class F>
CoroutineFunction<std::decay_t<F>> coroutine(F&& fn) {
  return CoroutineFunction<std::decay_t<F>>(std::forward<F>(fn));
}

namespace detail {
// Whether the one function that a call of X runs gives a Coro.
template <class X>
struct GivesCoro : std::false_type {};
template <class R, class... Args>
struct GivesCoro<R(Args...)> : IsCoro<R> {};
template <class R, class... Args>
struct GivesCoro<R(Args...) noexcept> : IsCoro<R> {};
template <class R, class C, class... Args>
struct GivesCoro<R (C::*)(Args...)> : IsCoro<R> {};
template <class R, class C, class... Args>
struct GivesCoro<R (C::*)(Args...) const> : IsCoro<R> {};
template <class F>
struct GivesCoro<F*> : GivesCoro<F> {};
template <HasOneCallOperator X>
struct GivesCoro<X> : GivesCoro<decltype(&X::operator())> {};

template <class X>
struct IsCoroutineFunction : GivesCoro<X> {};
template <class F>
struct IsCoroutineFunction<CoroutineFunction<F>> : std::true_type {};
}  // namespace detail

// Whether it is a coroutine object: a Coroutine or a Coro.
template <class X>
constexpr bool iscoroutine(const X&) {
  return detail::IsCoroutine<X>::value;
}
// Whether a call to it makes a coroutine object: a CoroutineFunction, or a function that returns a Coro.
template <class X>
constexpr bool iscoroutinefunction(const X&) {
  return detail::IsCoroutineFunction<X>::value;
}

}  // namespace aiofiber
