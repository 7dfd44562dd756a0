// SPDX-License-Identifier: Apache-2.0
//
// The caller's registers, and the registers that a signal interrupted.
#include <signal.h>
#include <ucontext.h>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {

namespace {
const mcontext_t& machine(const void* context) noexcept {
  return static_cast<const ucontext_t*>(context)->uc_mcontext;
}
constexpr int kX12 = 12, kFp = 29, kLr = 30;
}  // namespace

Registers interrupted_registers(const void* context) noexcept {
  const mcontext_t& at = machine(context);
  return {at.pc, at.sp, at.regs[kFp], at.regs[kLr]};
}

FaultDetails fault_details(int code, const void* context) noexcept {
  return {.probing = machine(context).regs[kX12], .by_the_kernel = code == SI_KERNEL};
}

}  // namespace aiofiber::runtime::arch

// current_registers(). The result's address is in x8. `hint #34` is `bti c`.
asm(R"(
.text
.p2align 4
.globl aiofiber_current_registers
.type aiofiber_current_registers,@function
aiofiber_current_registers:
  .cfi_startproc
  hint #34
  mov x9, sp
  stp x30, x9, [x8]
  stp x29, xzr, [x8, 16]
  ret
  .cfi_endproc
.size aiofiber_current_registers,.-aiofiber_current_registers
)");
