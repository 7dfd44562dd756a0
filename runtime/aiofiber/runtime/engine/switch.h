// SPDX-License-Identifier: Apache-2.0
//
// The switch from one fiber to another: Boost.Context's plain jump_fcontext (5 ns; resume_with costs 8).
// Around it come the exception state, the record's sequence lock and the calls of the sanitizers.
//
// The record is odd (unstable) while its fiber is on the CPU. The resumed side completes the record of the
// side that left, because the saved context is only known then.
//
// The switch is inline because, beyond the jump, its cost is in the returns. A CPU predicts a return's target
// from earlier calls, but those were another fiber's. So each return whose caller differs between the two
// fibers costs 7 ns, more than the jump and its bookkeeping together (measured: 1.1 against 2.7 resumes of a
// Boost fiber).
#pragma once

#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/switch_watch.h"

#if AIOFIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if AIOFIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace aiofiber::runtime {

// The first call of a resumed fiber, `self`: completes the record of the fiber that left. Not noexcept: see
// jump_to().
AIOFIBER_ALWAYS_INLINE void arrived([[maybe_unused]] Fiber& self, const Transfer& transfer) {
  Fiber& from = *static_cast<Fiber*>(transfer.data);
  from.fcontext = reinterpret_cast<std::uint64_t>(transfer.context);
  __atomic_store_n(&from.seq, from.seq + 1, __ATOMIC_RELEASE);  // even again: stable
#if AIOFIBER_ASAN
  const void* low = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_stack, &low, &bytes);
  if (from.stack_high == 0) {  // the hub: ASan tells the bounds of its current stack
    from.asan_low = low;
    from.asan_bytes = bytes;
  }
#endif
}

// Saves the running context in `from` and resumes `to`. Returns when something switches back.
// `exception_state` is the calling thread's. Threads: the one of both fibers' scheduler.
AIOFIBER_ALWAYS_INLINE void switch_fibers(Fiber& from, Fiber& to, ExceptionState* exception_state) {
  from.exceptions = *exception_state;
  *exception_state = to.exceptions;
  __atomic_store_n(&to.seq, to.seq + 1, __ATOMIC_RELEASE);  // odd: on the CPU
  to.state = AIOFIBER_RUNNING;
  ++to.switches;
  if (switch_is_watched()) watch_switch(from, to);
  current_fiber_slot = to.stack_high != 0 ? &to : nullptr;
#if AIOFIBER_ASAN
  __sanitizer_start_switch_fiber(from.finished ? nullptr : &from.fake_stack, to.asan_low, to.asan_bytes);
#endif
#if AIOFIBER_TSAN
  if (from.stack_high == 0)
    from.tsan_fiber = __tsan_get_current_fiber();  // the hub: a thread, or another loop's fiber
  __tsan_switch_to_fiber(to.tsan_fiber, 0);
#endif
  arrived(from, jump_to(reinterpret_cast<void*>(to.fcontext), &from));
}

}  // namespace aiofiber::runtime
