// SPDX-License-Identifier: Apache-2.0
//
// Handle and TimerHandle: a scheduled callback that can be cancelled.
//
// A handle is a counted reference to one allocation with the queue's node, the callable and its arguments.
// The ready queue (or the timer heap) holds one reference while the callback is scheduled.
// Source: asyncio.Handle, asyncio.TimerHandle.
//
//     bool called = false;
//     auto handle = asyncio::get_running_loop().call_later(1ms, [&] { called = true; });
//     handle.cancel();
//     asyncio::await(asyncio::sleep(2ms));
//     assert(handle.cancelled() && !called);
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "aiofiber/context.h"
#include "aiofiber/duration.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/post_pool.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/source_trace.h"

namespace aiofiber {

namespace detail {

// Describes a callable for reports: its address, if it has one, and its type.
struct EntryInfo {
  std::uintptr_t address = 0;
  const std::type_info* type = nullptr;
};

template <class F>
concept HasOneCallOperator = requires {
  &F::operator();
};

// The code that a call of `fn` runs, if it is one function.
template <class F>
EntryInfo entry_of(const F& fn) noexcept {
  EntryInfo entry{0, &typeid(F)};
  if constexpr (std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>) {
    entry.address = reinterpret_cast<std::uintptr_t>(fn);
  } else if constexpr (std::is_function_v<F>) {
    entry.address = reinterpret_cast<std::uintptr_t>(&fn);
  } else if constexpr (HasOneCallOperator<F>) {
    const auto member = &F::operator();
    // Itanium C++ ABI 2.3: a pointer to a non-virtual member function begins with the function's address.
    std::uintptr_t words[2] = {};
    if constexpr (sizeof member == sizeof words) {
      __builtin_memcpy(words, &member, sizeof words);
      if ((words[0] & 1) == 0) entry.address = words[0];
    }
  }
  return entry;
}
// The function's name, else the type's; for reports and repr, which append "()".
std::string entry_name(EntryInfo entry);

// True for an empty callable: a null function pointer, an empty std::function and similar types. (A lambda
// without captures converts to a function pointer. Compilers know that it is never null, and warn.)
template <class F>
bool is_empty_callable([[maybe_unused]] const F& fn) noexcept {
  if constexpr (std::is_function_v<F> || std::is_empty_v<F>) {
    return false;
  } else if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) {
    return fn == nullptr;
  } else if constexpr (requires {
                         static_cast<bool>(fn);
                         fn == nullptr;
                       }) {
    return !static_cast<bool>(fn);
  } else {
    return false;
  }
}
[[noreturn]] void throw_empty_callable(const char* function);

// The shared part of all handles. References may be dropped on any thread.
class HandleBase : public CallbackNode {
 public:
  // Inherits the context of the caller.
  HandleBase(LoopCore& loop, EntryInfo entry);
  virtual ~HandleBase() = default;
  HandleBase(const HandleBase&) = delete;
  HandleBase& operator=(const HandleBase&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    // While there is one reference, nobody but its holder can take another.
    if (references_.load(std::memory_order_acquire) == 1 ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      delete this;
  }

  // Drops the callable and its arguments at once; a timer leaves the heap.
  void cancel() noexcept;
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }
  bool is_timer() const noexcept { return is_timer_; }
  TimePoint when() const noexcept { return TimePoint(std::chrono::nanoseconds(deadline)); }
  LoopCore& loop() const noexcept { return *loop_; }
  std::string text() const;
  // The callable's name with parentheses.
  std::string name() const { return entry_name(entry_) + "()"; }

  // Puts the handle in the ready queue, which takes a reference.
  void schedule_soon();
  void schedule_at(TimePoint when);
  // Any thread, for a handle that nobody has seen yet: the loop takes a reference and the caller gets one.
  runtime::Ref<HandleBase> schedule_threadsafe() noexcept;

  // For descriptors and signals: queues it again unless it is in the queue.
  void schedule_again() noexcept;

  void drop() noexcept final;
  // May run any number of times: the callable is kept until cancel() or the last reference. (First, in a gap
  // of the base class: a posted handle with a small callable then has two cache lines.)
  bool persistent = false;
  std::shared_ptr<ContextData> context;

 protected:
  // Calls the user's function. May throw anything.
  virtual void call() = 0;
  // Destroys callable and arguments; called at most once.
  virtual void forget() noexcept = 0;

 private:
  static void run_node(Runnable& node);
  void run();
  // Calls forget(), unless it was called or the callable is running.
  void forget_once() noexcept;

  LoopCore* loop_;  // valid while queued or armed
  SourceTrace source_trace_;
  EntryInfo entry_;
  std::atomic<std::uint32_t> references_{0};
  std::atomic<bool> cancelled_{false};
  bool is_timer_ = false;
  bool forgotten_ = false;
  bool calling_ = false;
};

// Static assertions about a callback and its arguments. Public functions check them first: each level of
// calls further in adds three lines of compiler output (g++ 14) before the message that names the remedy.
template <class F, class... Args>
struct CheckedDecayed {
  static_assert(
      std::is_invocable_v<F&, Args&...>,
      "the callback cannot be called with these arguments (they are decay-copied, as by std::thread)");
  static_assert(std::is_nothrow_destructible_v<std::tuple<F, Args...>>,
                "a callback and its arguments must not throw when they are destroyed: wrap what they own");
  static constexpr bool value = true;
};
template <class F, class... Args>
using CheckedCallback = CheckedDecayed<std::decay_t<F>, std::decay_t<Args>...>;

template <class F, class... Args>
class BoundHandle : public HandleBase {
 public:
  template <class G, class... A>
  explicit BoundHandle(LoopCore& loop, G&& fn, A&&... args)
      : HandleBase(loop, entry_of(fn)),
        bound_(std::in_place, std::forward<G>(fn), std::forward<A>(args)...) {}

 protected:
  void call() override {
    std::apply([](auto& fn, auto&... args) { std::invoke(fn, args...); }, *bound_);
  }
  void forget() noexcept override { bound_.reset(); }

 private:
  std::optional<std::tuple<F, Args...>> bound_;
};

// A handle for another thread's loop, in memory for that (post_pool.h).
template <class F, class... Args>
class PostedHandle final : public BoundHandle<F, Args...> {
 public:
  using BoundHandle<F, Args...>::BoundHandle;
  static void* operator new(std::size_t bytes) { return PostPool::allocate(bytes); }
  static void operator delete(void* memory) noexcept { PostPool::release(memory); }
};
// For callables of usual sizes.
template <class Bound>
inline constexpr bool fits_post_pool = sizeof(Bound) <= PostPool::kLargest &&
                                       alignof(Bound) <= PostPool::kAlignment;

template <class F, class... Args>
runtime::Ref<HandleBase> make_handle(LoopCore& loop, F&& fn, Args&&... args) {
  static_assert(CheckedCallback<F, Args...>::value);
  if (is_empty_callable(fn)) throw_empty_callable("call_soon()");
  return runtime::Ref<HandleBase>(new BoundHandle<std::decay_t<F>, std::decay_t<Args>...>(
      loop, std::forward<F>(fn), std::forward<Args>(args)...));
}

}  // namespace detail

// Options of a callback: call_soon({.context = context}, fn).
struct CallbackOptions {
  // The callback runs in this context; absent: in a copy of the current one.
  std::optional<Context> context = std::nullopt;
};

namespace detail {
template <class F>
concept CallbackFunction = !std::is_same_v<std::decay_t<F>, CallbackOptions>;

template <class F, class... Args>
runtime::Ref<HandleBase> make_handle_in(LoopCore& loop, const CallbackOptions& options, F&& fn,
                                        Args&&... args) {
  runtime::Ref<HandleBase> handle = make_handle(loop, std::forward<F>(fn), std::forward<Args>(args)...);
  if (options.context) handle->context = options.context->data();
  return handle;
}

// Makes a handle and schedules it from any thread.
template <class F, class... Args>
runtime::Ref<HandleBase> post_handle(LoopCore& loop, const CallbackOptions& options, F&& fn, Args&&... args) {
  static_assert(CheckedCallback<F, Args...>::value);
  if (is_empty_callable(fn)) throw_empty_callable("call_soon()");
  using Bound = BoundHandle<std::decay_t<F>, std::decay_t<Args>...>;
  using Posted =
      std::conditional_t<fits_post_pool<Bound>, PostedHandle<std::decay_t<F>, std::decay_t<Args>...>, Bound>;
  HandleBase& handle = *new Posted(loop, std::forward<F>(fn), std::forward<Args>(args)...);
  if (options.context) handle.context = options.context->data();
  return handle.schedule_threadsafe();
}
}  // namespace detail

// A scheduled callback. Copies refer to the same one; dropping the handle does not cancel it.
class Handle {
 public:
  // An empty handle: cancel() does nothing.
  Handle() noexcept = default;
  explicit Handle(runtime::Ref<detail::HandleBase> base) noexcept : base_(std::move(base)) {}
  // False for a default-constructed handle.
  bool valid() const noexcept { return static_cast<bool>(base_); }
  // The callback will not run, and is destroyed now. No effect if it ran already.
  void cancel() const noexcept {
    if (base_) base_->cancel();
  }
  // Whether cancel() was called; false for a callback that ran.
  bool cancelled() const noexcept { return base_ && base_->cancelled(); }
  friend std::string repr(const Handle& handle) {
    return handle.valid() ? handle.base_->text() : "<Handle empty>";
  }
  friend bool operator==(const Handle&, const Handle&) noexcept = default;

 protected:
  runtime::Ref<detail::HandleBase> base_;
};
// The text that asyncio prints, with the callback's name.
std::string repr(const Handle& handle);

// A Handle with the time at which it runs. Source: asyncio.TimerHandle.
class TimerHandle : public Handle {
 public:
  using Handle::Handle;
  // The deadline on the loop's clock; unchanged by cancel(). RuntimeError: the handle is empty.
  TimePoint when() const {
    if (!valid()) throw RuntimeError("this timer handle is empty: it was default-constructed or moved from");
    return base_->when();
  }
};

}  // namespace aiofiber
