// SPDX-License-Identifier: Apache-2.0
//
// __cxa_throw in assembly: it must read the thrower's x29 and x30 before a compiled prologue changes them.
#include "arch/throw_entry.h"

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// Called by the assembly. The result is in x0 and x1 there.
extern "C" __attribute__((visibility("hidden"), used)) ThrowContinuation aiofiber_capture_throw(
    void* object, std::type_info*, Destructor destructor, std::uintptr_t return_address, std::uintptr_t sp,
    std::uintptr_t fp) noexcept {
  return capture_throw(object, destructor, {.pc = return_address, .sp = sp, .fp = fp, .lr = 0});
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
// In: x0 object, x1 type, x2 destructor. Continues with the real one: same arguments, except the destructor.
// By x16, because a jump by that may enter a function that begins with `bti c` (`hint #34`).
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
  hint #34
  mov x3, x30
  mov x4, sp
  mov x5, x29
  stp x29, x30, [sp, -32]!
  .cfi_def_cfa_offset 32
  .cfi_offset x29, -32
  .cfi_offset x30, -24
  mov x29, sp
  stp x0, x1, [sp, 16]
  bl aiofiber_capture_throw
  mov x2, x0
  mov x16, x1
  ldp x0, x1, [sp, 16]
  ldp x29, x30, [sp], 32
  .cfi_restore x30
  .cfi_restore x29
  .cfi_def_cfa_offset 0
  br x16
  .cfi_endproc
.size __cxa_throw,.-__cxa_throw
.size __wrap___cxa_throw,.-__wrap___cxa_throw
)");
