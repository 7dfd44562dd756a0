// SPDX-License-Identifier: Apache-2.0
//
// fork(): what the parts of the runtime and of the hooks do at one, in one order.
//
// The child has the forking thread only, and a copy of everything as the other threads left it. No loop runs
// there and no fiber is current: it goes on as a plain thread, on whatever stack it was forked from. The
// parent's loop is refused there with the facade's RuntimeError; a fresh loop works.
//
// A part has one ForkHandler of static storage and registers it when it first needs it. Nothing here
// allocates, in the child least of all, and a handler must not either. Threads: any may register or fork.
#pragma once

#include <cstdint>

extern "C" {
extern void* __dso_handle __attribute__((visibility("hidden")));  // its address names the module
}

namespace aiofiber::runtime {

// The order. In the parent and in the child the handlers run from first to last, before the fork from last to
// first, as those of pthread_atfork() do; within a step, in the order in which they came.
enum class ForkStep : unsigned char {
  kScheduler,  // no fiber is current from here on, so what the later steps call is libc's own and never waits
  kLocks,      // the queues of waiters are empty from here on, so a later step may use a mutex
  kTrace,      // before the fork it takes its mutex, while the two above are whole: so it is after them
  kStdio,      // forgets which tasks are inside a FILE; needs nothing but the first step, nor does anyone it
  kRing,       // closes the parent's io_uring by libc's close(): after the first step
};

class ForkHandler {
 public:
  using Function = void (*)() noexcept;
  struct Functions {
    Function prepare = nullptr;  // null: nothing to do
    Function parent = nullptr;
    Function child = nullptr;
  };
  constexpr ForkHandler(ForkStep step, Functions functions, const void* module = &__dso_handle) noexcept
      : step_(step), functions_(functions), module_(module) {}
  ForkHandler(const ForkHandler&) = delete;
  ForkHandler& operator=(const ForkHandler&) = delete;

 private:
  friend struct ForkHandlers;
  const ForkStep step_;
  const Functions functions_;
  const void* const module_;
  ForkHandler* next_ = nullptr;
  bool registered_ = false;
};

// From now on the handler runs at each fork. Does nothing when it is registered already. There may be several
// of a step: a program that has the hooks may have them preloaded too.
void at_fork(ForkHandler& handler) noexcept;
// Before the module with this __dso_handle is unloaded: its handlers must not run any more. Where the
// registry is in that module itself, libc does it.
void forget_fork_handlers(const void* module) noexcept;

// Grows by one in each forked child: a loop remembers the value of its birth and refuses another one.
std::uint32_t fork_generation() noexcept;

}  // namespace aiofiber::runtime
