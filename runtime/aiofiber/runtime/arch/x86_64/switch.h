// SPDX-License-Identifier: Apache-2.0
//
// The switch from one fiber to another: Boost.Context's plain jump_fcontext (5 ns; resume_with costs 8), with
// the exception state, the record's sequence lock and the sanitizers' notes around it.
//
// The record is odd (unstable) while its fiber is on the CPU. The side that resumes completes the record of
// the side that left, because only then its saved context is known.
//
// Inline, because what a switch costs beyond the jump is returns: a CPU predicts where a return goes from the
// calls that came before it, which were another fiber's, so each return whose caller is not the same for both
// fibers costs 7 ns, more than the jump and its bookkeeping together (measured: 1.1 against 2.7 resumes of a
// Boost fiber).
#pragma once

#include <cstdint>

#include "aiofiber/runtime/engine/context_names.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/trace/trace.h"

#if AIOFIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if AIOFIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace aiofiber::runtime {

// boost::context::detail::transfer_t, which only fiber.cc and stack.cc know: who left, and what it passed on.
struct Transfer {
  void* context;
  void* data;
};

#if !defined(__x86_64__)
extern "C" Transfer jump_fcontext(void* to, void* data) __asm__(AIOFIBER_JUMP_FCONTEXT);
#endif

// jump_fcontext(to, data). It leaves by a jump, so the return address that a `call` pushed would stay on the
// CPU's predictor of returns, and every return on the way out of the resumed fiber would be mispredicted. So
// it is entered by a jump too, with the address to resume at pushed by hand.
//
// What includes this is compiled with -mno-red-zone: else the compiler might keep variables below the stack
// pointer, where the push writes. The function that it is inlined into must have no clean-ups, handlers or
// noexcept callees inlined around it: the compiler's exception tables do not know that a suspended fiber may
// be left by an exception from here.
AIOFIBER_ALWAYS_INLINE Transfer jump_to(void* to, void* data) {
#if defined(__x86_64__)
  Transfer transfer;
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp *" AIOFIBER_JUMP_FCONTEXT
      "@GOTPCREL(%%rip)\n"
      "1:"
      : "=a"(transfer.context), "=d"(transfer.data), "+D"(to), "+S"(data)
      :
      : "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)",
        "st(6)", "st(7)", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#if defined(__AVX512F__)
        ,
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
        "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#endif
  );
  return transfer;
#else
  return jump_fcontext(to, data);
#endif
}

// The first thing that a resumed fiber does, `self`: completes the record of the one that left. Not noexcept:
// see jump_to().
AIOFIBER_ALWAYS_INLINE void arrived([[maybe_unused]] Fiber& self, const Transfer& transfer) {
  Fiber& from = *static_cast<Fiber*>(transfer.data);
  from.fcontext = reinterpret_cast<std::uint64_t>(transfer.context);
  __atomic_store_n(&from.seq, from.seq + 1, __ATOMIC_RELEASE);  // even again: stable
#if AIOFIBER_ASAN
  const void* low = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_stack, &low, &bytes);
  if (from.stack_high == 0) {  // the hub: ASan tells us the bounds of the stack that it is on this time
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
  if (tracing()) trace_switch(from, to);
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
