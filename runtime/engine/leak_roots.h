// SPDX-License-Identifier: Apache-2.0
//
// What LeakSanitizer has to be told, in builds for AddressSanitizer; nothing in others.
//
// It looks for pointers in globals, in the heap, and on the stack that each thread is on. It knows nothing of
// the stacks of suspended fibers, nor of a thread's own stack while a fiber runs on the thread. In a program
// that has ended its loops nothing is left there. Three cases are: a loop that still runs, exit() while
// fibers are suspended, and a fiber that was abandoned, whose stack stays for good.
//
// With detect_stack_use_after_return, local variables lie in fake frames elsewhere, which are followed, but
// not those of other threads' fibers in exit(): these may go away at any time.
#pragma once

#include <array>
#include <cstddef>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::runtime {

class Fiber;

#if AIOFIBER_ASAN
// What an abandoned fiber holds is no leak. To be called while it has its record, on its scheduler's thread.
void keep_abandoned(const Fiber& fiber) noexcept;

// What suspended fibers hold when the program ends is no leak: looked at in exit(), after the destructors of
// what was made later. Threads: any.
void watch_suspended_at_exit() noexcept;

// While it lives, what the calling thread's own stack points to is no leak, whatever stack the thread is on.
class ThreadStackRoot {
 public:
  ThreadStackRoot() noexcept;
  ~ThreadStackRoot();
  ThreadStackRoot(const ThreadStackRoot&) = delete;
  ThreadStackRoot& operator=(const ThreadStackRoot&) = delete;

 private:
  void add(const StackBounds& part) noexcept;

  std::array<StackBounds, 64> parts_{};  // the stack, and the fake frames of those that called
  std::size_t count_ = 0;
};
#else
inline void keep_abandoned(const Fiber&) noexcept {}
inline void watch_suspended_at_exit() noexcept {}
class ThreadStackRoot {
 public:
  ThreadStackRoot() noexcept {}  // not trivial, so nobody is warned of an unused one
};
#endif

}  // namespace aiofiber::runtime
