// SPDX-License-Identifier: Apache-2.0
//
// The raw jump from one stack to another on x86-64: Boost.Context's jump_fcontext, entered without a call.
//
// This is only the jump; engine/switch.h adds the scheduler's bookkeeping. Sources that inline jump_to() are
// compiled with the options in runtime/arch/x86_64/options.cmake.
#pragma once

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/context_names.h"

namespace aiofiber::runtime {

// boost::context::detail::transfer_t (for fiber.cc and stack.cc only): the context that left, and its data.
struct Transfer {
  void* context;
  void* data;
};

// Calls jump_fcontext(to, data). jump_fcontext leaves by a jump, so the return address that a `call` pushes
// would stay in the CPU's return predictor. Every return on the way out of the resumed fiber would be
// mispredicted. So jump_fcontext is entered by a jump too, and the address to resume at is pushed by hand.
//
// Code that inlines this is compiled with -mno-red-zone: else the compiler might keep variables below the
// stack pointer, where the push writes. The function around it must have no cleanups, handlers or inlined
// noexcept callees: the compiler's exception tables do not show that an exception can leave a suspended fiber
// from here.
AIOFIBER_ALWAYS_INLINE Transfer jump_to(void* to, void* data) {
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
}

}  // namespace aiofiber::runtime
