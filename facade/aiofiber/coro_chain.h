// SPDX-License-Identifier: Apache-2.0
//
// CoroChain: C++20 coroutines that await each other, and the one place that resumes them.
//
// A coroutine never resumes another one. It tells its chain which coroutine is next, or for what the chain
// waits, and returns to the driver: a loop on a fiber's stack (await), or a step of a task without a stack.
// So a chain of any depth uses no stack, with every compiler and at every level of optimization; and only the
// driver knows how a task waits.
// The chain and its promises are also records that debuggers read (registry_abi.h). Not for users.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>
#if __has_include(<source_location>)
#include <source_location>
#endif

#include "aiofiber/frame_pool.h"
#include "aiofiber/future_base.h"
#include "aiofiber/runtime/inspect/registry_abi.h"
#include "aiofiber/source_trace.h"

namespace aiofiber::detail {

// A constant with this place in the source, for compilers without std::source_location (clang before 15).
// From a table of 4,096 places; all others share one that says so. Any thread; never suspends.
const aiofiber_place* kept_place(const char* file, const char* function, unsigned line) noexcept;

// A place in the source. One word with every compiler: coroutines of one awaits those of another.
class Place {
 public:
#if defined(__cpp_lib_source_location)
  constexpr Place(const std::source_location& location) noexcept
      : constant_(__builtin_bit_cast(const aiofiber_place*, location)) {
    static_assert(sizeof location == sizeof constant_);
  }
#endif
  Place(const char* file, const char* function, unsigned line) noexcept
      : constant_(kept_place(file, function, line)) {}
  const aiofiber_place* address() const noexcept { return constant_; }

 private:
  const aiofiber_place* constant_;
};
// The default argument of a parameter of type Place: where the function is called.
#if defined(__cpp_lib_source_location)
#define AIOFIBER_HERE \
  ::aiofiber::detail::Place { std::source_location::current() }
#else
#define AIOFIBER_HERE \
  ::aiofiber::detail::Place { __builtin_FILE(), __builtin_FUNCTION(), __builtin_LINE() }
#endif

class CoroChain;

// The part of a promise that does not depend on the result's type.
class PromiseBase : public aiofiber_coroutine {
 public:
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  // Of the coroutine's frame.
  static void* operator new(std::size_t bytes) { return FramePool::allocate(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept { FramePool::release(frame, bytes); }

  std::coroutine_handle<> handle() const noexcept {
    return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(frame));
  }
  PromiseBase* caller_promise() const noexcept {
    return static_cast<PromiseBase*>(reinterpret_cast<aiofiber_coroutine*>(caller));
  }
  bool begun() const noexcept { return chain != nullptr; }
  // The code of the coroutine. Valid while it is suspended and not at its end.
  EntryInfo entry() const noexcept { return {*reinterpret_cast<const std::uintptr_t*>(frame), nullptr}; }
  // Notes where the coroutine suspends next.
  void note_place(const Place& at) noexcept { place = reinterpret_cast<std::uint64_t>(at.address()); }

  CoroChain* chain = nullptr;  // null until it begins
  // The pointer that owns the frame while the coroutine runs; cleared when the chain destroys the frame.
  // Null: references own it (AsyncGenerator).
  PromiseBase** owner = nullptr;
  // The pointer of a named Coro whose coroutine is being awaited; cleared at the end. Null: there is none.
  PromiseBase** named = nullptr;
  OriginTrace origin;  // debug mode: where it was made
  std::exception_ptr error;

 protected:
  explicit PromiseBase(std::coroutine_handle<> self) noexcept
      : aiofiber_coroutine{0, reinterpret_cast<std::uint64_t>(self.address()), 0} {}
  ~PromiseBase() {
    if (named != nullptr) *named = nullptr;
  }
};

// What a chain waits for. The driver waits, and resumes the innermost coroutine afterwards.
struct ChainRequest {
  enum class Kind : std::uint8_t {
    kNone,    // nothing: go on
    kFuture,  // until `future` is done
    kPass,    // for one pass of the loop
    kUntil,   // until `deadline_ns` of the loop's clock; `object`: memory for a Parker
    kCall,    // until call(object) has returned, which needs a stack
  };
  Kind kind = Kind::kNone;
  union {
    FutureBase* future;
    void* object = nullptr;
  };
  union {
    std::int64_t deadline_ns = 0;
    void (*call)(void*);
  };
};

class CoroChain : public aiofiber_coroutines {
 public:
  CoroChain() noexcept : aiofiber_coroutines{0, 0, 0} {}
  ~CoroChain() { destroy_frames(); }
  CoroChain(const CoroChain&) = delete;
  CoroChain& operator=(const CoroChain&) = delete;

  PromiseBase* innermost_promise() const noexcept {
    return static_cast<PromiseBase*>(reinterpret_cast<aiofiber_coroutine*>(innermost));
  }
  // No coroutine is left: the outermost one has ended, or none has begun.
  bool done() const noexcept { return innermost == 0; }
  // Makes the coroutine the innermost one. `owner`: see PromiseBase.
  void enter(PromiseBase& promise, PromiseBase** owner) noexcept {
    promise.chain = this;
    promise.owner = owner;
    promise.caller = innermost;
    innermost = reinterpret_cast<std::uint64_t>(static_cast<aiofiber_coroutine*>(&promise));
  }
  // The innermost coroutine has ended, or has given a value.
  void leave(PromiseBase& promise) noexcept { innermost = std::exchange(promise.caller, 0); }

  // Runs the coroutines until they wait for something (request), or are done.
  void run() {
    request.kind = ChainRequest::Kind::kNone;
    stack |= AIOFIBER_COROUTINE_RUNS;
    do {
      innermost_promise()->handle().resume();
    } while (request.kind == ChainRequest::Kind::kNone && innermost != 0);
    stack &= ~AIOFIBER_COROUTINE_RUNS;
  }
  // Called by an awaiter when it goes on.
  void rethrow_error() {
    if (AIOFIBER_UNLIKELY(error != nullptr)) std::rethrow_exception(std::exchange(error, nullptr));
  }
  // Destroys the frames of all coroutines, from inside outwards and without recursion.
  void destroy_frames() noexcept {
    while (PromiseBase* const promise = innermost_promise()) {
      leave(*promise);
      if (promise->owner == nullptr) continue;
      *promise->owner = nullptr;
      promise->handle().destroy();
    }
  }

  ChainRequest request;
  std::exception_ptr error;  // of the last wait: the awaiter throws it
};

}  // namespace aiofiber::detail
