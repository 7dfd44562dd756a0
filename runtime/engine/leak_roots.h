// SPDX-License-Identifier: Apache-2.0
//
// Tells LeakSanitizer where live pointers are, in builds for AddressSanitizer; does nothing in others.
//
// LeakSanitizer looks for pointers in globals, in the heap, and on the current stack of each thread. It does
// not know the stacks of suspended fibers, or a thread's own stack while a fiber runs on the thread. If a
// program has ended its loops, nothing is left there. Three cases remain: a loop that still runs, exit()
// while fibers are suspended, and an abandoned fiber, whose stack stays for good.
//
// With detect_stack_use_after_return, local variables are in fake frames elsewhere. These frames are followed
// too, except those of other threads' fibers in exit(): they may disappear at any time.
#pragma once

#include <array>
#include <cstddef>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::runtime {

class Fiber;

#if AIOFIBER_ASAN
// Marks what an abandoned fiber holds as no leak. Call it while it has its record, on its scheduler's thread.
void keep_abandoned(const Fiber& fiber) noexcept;

// Marks what suspended fibers hold at the end of the program as no leak. The check runs in exit(), after the
// destructors of objects that were constructed later. Threads: any.
void watch_suspended_at_exit() noexcept;

// During its lifetime, what the calling thread's own stack points to is no leak, also while a fiber runs.
class ThreadStackRoot {
 public:
  ThreadStackRoot() noexcept;
  ~ThreadStackRoot();
  ThreadStackRoot(const ThreadStackRoot&) = delete;
  ThreadStackRoot& operator=(const ThreadStackRoot&) = delete;

 private:
  void add(const StackBounds& part) noexcept;

  std::array<StackBounds, 64> parts_{};  // the stack, and the fake frames of its callers
  std::size_t count_ = 0;
};
#else
inline void keep_abandoned(const Fiber&) noexcept {}
inline void watch_suspended_at_exit() noexcept {}
class ThreadStackRoot {
 public:
  ThreadStackRoot() noexcept {}  // not trivial, so the compiler does not warn about an unused one
};
#endif

}  // namespace aiofiber::runtime
