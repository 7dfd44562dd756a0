// SPDX-License-Identifier: Apache-2.0
//
// FdWait: one wait of a task for a descriptor, the primitive of everything here that waits for the kernel.
//
// It is a waiter of the reactor with a future in it. It is on the waiting task's stack, or in its coroutine's
// frame, so a wait allocates nothing but what the reactor needs for a new descriptor. The future is never
// given out, and cancellation, order and inspection are those of every future.
// Any number of tasks may wait for one descriptor. Each is woken when the descriptor is ready, and tries its
// operation again. The destructor leaves no watcher behind. Not for users. Threads: the loop's.
#pragma once

#include <cstdint>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/future.h"
#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

class FdWait final : private runtime::FdWaiter {
  // A part of the wait: only the waiting task refers to it, so no reference is the last one.
  class ReadyFuture final : public FutureState<void> {
   public:
    ReadyFuture(LoopCore& loop, const FdWait& wait) : FutureState<void>(loop), wait_(wait) {
      wait_kind = AIOFIBER_WAIT_FD;
      retain();
    }
    ~ReadyFuture() override { AIOFIBER_ASSERT(references() == 1); }
    // Not an address: what the registry shows for a descriptor (registry_abi.h).
    const void* wait_object() const noexcept override {
      return reinterpret_cast<const void*>(
          (static_cast<std::uintptr_t>(static_cast<std::uint32_t>(wait_.fd)) << 32) | wait_.wanted);
    }

   private:
    const FdWait& wait_;
  };

 public:
  // Begins to watch. `events`: runtime::kReadable | runtime::kWritable, at least one. `loop`: that of the
  // task. std::system_error EBADF: not an open descriptor; std::bad_alloc.
  FdWait(LoopCore& loop, int descriptor, unsigned events);
  ~FdWait() {
    if (linked()) unlink();
  }
  FdWait(const FdWait&) = delete;
  FdWait& operator=(const FdWait&) = delete;

  // Suspends the current task, which has a stack, until the descriptor is ready. Gives the events that are
  // ready. After an error or the other side's close, all wanted events count as ready: the operation tells.
  // CancelledError; std::system_error EBADF: closed meanwhile, or why the kernel cannot watch it.
  unsigned wait(TaskCore& task) {
    if (!future_.done()) task.wait_for_future(future_);
    return outcome();
  }
  // The same for a coroutine: co_await wait.ready().
  WaitAwaiter<FdWait> ready() noexcept { return WaitAwaiter<FdWait>(*this); }

 private:
  friend class WaitAwaiter<FdWait>;
  static void on_ready(FdWaiter& waiter, unsigned events) noexcept;
  FutureBase& future_of_wait() noexcept { return future_; }
  unsigned outcome() {
    if (AIOFIBER_UNLIKELY(future_.cancelled() || failure != 0)) throw_failure();
    return seen_;
  }
  [[noreturn]] void throw_failure();

  unsigned seen_ = 0;
  ReadyFuture future_;
};

// A wait as an awaitable, in two forms (coroutine.h).
struct WaitFd {
  int fd;
  unsigned events;
  unsigned operator()() const;
  Coro<unsigned> stackless_form() const;
};
// Suspends the current task until the descriptor is ready; see FdWait.
inline Coroutine<unsigned> wait_fd(int fd, unsigned events) {
  return Coroutine<unsigned>(WaitFd{fd, events});
}

// An operation that the kernel does at once or refuses for now (EAGAIN), as an awaitable in two forms.
// `Operation` has: Result; kEvents, what to wait for; fd; void begin(LoopCore&), called first; bool
// attempt(), false for EAGAIN; Result take(); static EntryInfo entry(), for the names in reports. At most 64
// bytes, and no allocation is needed.
template <class Operation>
struct FdCall {
  using Result = typename Operation::Result;
  Operation operation;

  Result operator()() {
    TaskCore& task = require_current_task();
    operation.begin(task.loop());
    while (!operation.attempt()) {
      FdWait wait(task.loop(), operation.fd, Operation::kEvents);
      wait.wait(task);
    }
    return operation.take();
  }
  Coro<Result> stackless_form() { return without_stack(std::move(operation)); }
  EntryInfo entry() const noexcept { return Operation::entry(); }

 private:
  static Coro<Result> without_stack(Operation operation) {
    LoopCore& loop = current_task_core()->loop();
    operation.begin(loop);
    while (!operation.attempt()) {
      FdWait wait(loop, operation.fd, Operation::kEvents);
      co_await wait.ready();
    }
    co_return operation.take();
  }
};

// A call that is written once, as a Coro, as an awaitable in two forms. `Make`: gives that Coro; called once.
template <class Make>
struct AsCoro {
  Make make;
  EntryInfo called;
  auto operator()() { return await(make()); }
  auto stackless_form() { return make(); }
  EntryInfo entry() const noexcept { return called; }
};
template <class Make>
AsCoro(Make, EntryInfo) -> AsCoro<Make>;

// The code of a member function, for the names in reports.
template <class Member>
requires std::is_member_function_pointer_v<Member> EntryInfo entry_of_member(Member member)
noexcept {
  // Itanium C++ ABI 2.3: a pointer to a non-virtual member function begins with the function's address.
  std::uintptr_t words[2] = {};
  static_assert(sizeof member == sizeof words);
  __builtin_memcpy(words, &member, sizeof words);
  return {(words[0] & 1) == 0 ? words[0] : 0, &typeid(Member)};
}

}  // namespace aiofiber::detail
