// SPDX-License-Identifier: Apache-2.0
//
// The caller's registers, and the registers that a signal interrupted.
#include <signal.h>
#include <ucontext.h>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {

namespace {
std::uintptr_t value(const void* context, int index) noexcept {
  return static_cast<std::uintptr_t>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[index]);
}
}  // namespace

Registers interrupted_registers(const void* context) noexcept {
  return {value(context, REG_RIP), value(context, REG_RSP), value(context, REG_RBP), value(context, REG_RBX)};
}

FaultDetails fault_details(int code, const void* context) noexcept {
  constexpr std::uintptr_t kGeneralProtection = 13;  // an impossible address: the program's own access
  return {.probing = value(context, REG_R11),
          .by_the_kernel = code == SI_KERNEL && value(context, REG_TRAPNO) != kGeneralProtection};
}

}  // namespace aiofiber::runtime::arch

// current_registers(). The result's address is in rdi.
asm(R"(
.text
.p2align 4
.globl aiofiber_current_registers
.type aiofiber_current_registers,@function
aiofiber_current_registers:
  .cfi_startproc
  endbr64
  movq %rdi, %rax
  movq (%rsp), %rcx
  movq %rcx, (%rax)
  leaq 8(%rsp), %rcx
  movq %rcx, 8(%rax)
  movq %rbp, 16(%rax)
  movq %rbx, 24(%rax)
  ret
  .cfi_endproc
.size aiofiber_current_registers,.-aiofiber_current_registers
)");
