// SPDX-License-Identifier: Apache-2.0
//
// __cxa_throw in assembly: it must read the thrower's rbp and rbx before a compiled prologue changes them.
#include "arch/throw_entry.h"

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// Called by the assembly. The result is in rax and rdx there.
extern "C" __attribute__((visibility("hidden"), used)) ThrowContinuation aiofiber_capture_throw(
    void* object, std::type_info*, Destructor destructor, const std::uintptr_t* rsp, std::uintptr_t rbp,
    std::uintptr_t rbx) noexcept {
  // The thrower's call pushed its return address.
  return capture_throw(object, destructor, {rsp[0], reinterpret_cast<std::uintptr_t>(rsp + 1), rbp, rbx});
}

}  // namespace aiofiber::runtime

// Weak, so that a statically linked libstdc++ keeps its own: its definition comes with other functions that
// programs need. (Not under sanitizers: clang's static ones have a weak definition too, and the first one
// would win.)
#if AIOFIBER_ASAN || AIOFIBER_TSAN
#define AIOFIBER_THROW_BINDING ".globl"
#else
#define AIOFIBER_THROW_BINDING ".weak"
#endif
// In: rdi object, rsi type, rdx destructor. Continues with the real one: same arguments, except the
// destructor.
asm(R"(
.text
.p2align 4
)" AIOFIBER_THROW_BINDING R"( __cxa_throw
.globl __wrap___cxa_throw
.type __cxa_throw,@function
.type __wrap___cxa_throw,@function
__cxa_throw:
__wrap___cxa_throw:
  .cfi_startproc
  endbr64
  movq %rsp, %rcx
  movq %rbp, %r8
  movq %rbx, %r9
  pushq %rdi
  .cfi_adjust_cfa_offset 8
  pushq %rsi
  .cfi_adjust_cfa_offset 8
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  call aiofiber_capture_throw
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %rsi
  .cfi_adjust_cfa_offset -8
  popq %rdi
  .cfi_adjust_cfa_offset -8
  xchgq %rax, %rdx
  jmp *%rax
  .cfi_endproc
.size __cxa_throw,.-__cxa_throw
.size __wrap___cxa_throw,.-__wrap___cxa_throw
)");
