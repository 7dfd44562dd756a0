// SPDX-License-Identifier: Apache-2.0
//
// fork(): what the parts of the runtime and of the hooks do at a fork, in one order.
//
// The child has only the forking thread, and a copy of everything as the other threads left it. No loop runs
// there and no fiber is current: the child continues as a plain thread, on the stack that called fork().
// There the parent's loop is refused with the facade's RuntimeError; a new loop works.
//
// A part has one ForkHandler of static storage and registers it at first use. Nothing here allocates,
// especially in the child, and a handler must not either. Threads: any may register or fork.
#pragma once

#include <cstdint>

// The address of __dso_handle names the module. By a name of our own: g++ declares __dso_handle itself, in
// another way, in a file that has destructors of static variables before this header.
extern "C" char aiofiber_this_module __asm__("__dso_handle") __attribute__((visibility("hidden")));

namespace aiofiber::runtime {

// The order. In the parent and in the child the handlers run from first to last, and before the fork from
// last to first, as with pthread_atfork(). Within a step they keep the order of registration.
enum class ForkStep : unsigned char {
  kScheduler,  // no fiber is current after this step, so later steps call libc's own functions and never wait
  kLocks,      // the queues of waiters are empty after this step, so a later step may use a mutex
  kTrace,  // locks its mutex before the fork, while the two steps above are intact: so it comes after them
  kLibdw,  // holds the lock of the opening of libdw over the fork, for the same reason
  kTaskValues,  // unlocks its mutex, so it comes after the first two steps, too
  kStdio,       // forgets which tasks are inside a FILE; needs only the first step, and no step needs it
  kRing,        // closes the parent's io_uring by libc's close(): after the first step
};

class ForkHandler {
 public:
  using Function = void (*)() noexcept;
  struct Functions {
    Function prepare = nullptr;  // null: nothing to do
    Function parent = nullptr;
    Function child = nullptr;
  };
  constexpr ForkHandler(ForkStep step, Functions functions,
                        const void* module = &aiofiber_this_module) noexcept
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

// Registers the handler; it runs at each fork from now on. Does nothing if it is registered already. A step
// may have several: a program that contains the hooks may also have them preloaded.
void at_fork(ForkHandler& handler) noexcept;
// Unregisters the handlers of the module with this __dso_handle. Call it before the module is unloaded. If
// the registry is in that same module, libc does it.
void forget_fork_handlers(const void* module) noexcept;

// Incremented in each forked child. A loop remembers the value of its creation and refuses any other.
std::uint32_t fork_generation() noexcept;

}  // namespace aiofiber::runtime
