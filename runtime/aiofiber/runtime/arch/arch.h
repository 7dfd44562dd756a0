// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give. A processor has a folder x86_64/ here and one of the same name in
// runtime/arch/, for what only sources use. `other` is for the processors that have none: all of it compiles
// there, and says quietly that nothing is known.
//
// This is the only place that asks the compiler for the processor. A port writes, in this order: machine.h,
// hints.h, jump.h (then fibers switch); registers.h with the functions declared here, and the sources'
// frame_rule.h (then stacks can be walked); landing_pad.cc, throw_entry.cc (then exceptions are understood);
// dwarf_registers.h, elf.h, call_code.h (then the command `aiofiber` reads stacks and code). From
// frame_rule.h on they are in runtime/arch/.
//
// AIOFIBER_ARCH_OTHER, given to the whole build, takes `other` although the processor has a folder: a test.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__LP64__) && !defined(AIOFIBER_ARCH_OTHER)
#define AIOFIBER_ARCH_X86_64 1
#else
#define AIOFIBER_ARCH_X86_64 0
#endif

// glibc came to this processor before its version 2.33, so programs may call what stat() and mknod() were
// inside then: __xstat, __xmknod and their like.
#if defined(__x86_64__) || defined(__aarch64__)
#define AIOFIBER_ARCH_HAS_XSTAT 1
#else
#define AIOFIBER_ARCH_HAS_XSTAT 0
#endif

// machine.h   facts in numbers: the red zone, the machine's number in ELF files, and so on
// hints.h     single instructions: pause(), fetch_for_writing(), read_counter()
// registers.h struct Registers, all that a walk over a stack needs; its first two are `pc` and `sp`
// jump.h      jump_to() and Transfer: the raw switch of stacks, which the scheduler's switch is made of
#if AIOFIBER_ARCH_X86_64
#include "aiofiber/runtime/arch/x86_64/hints.h"
#include "aiofiber/runtime/arch/x86_64/jump.h"
#include "aiofiber/runtime/arch/x86_64/machine.h"
#include "aiofiber/runtime/arch/x86_64/registers.h"
#else
#include "aiofiber/runtime/arch/other/hints.h"
#include "aiofiber/runtime/arch/other/jump.h"
#include "aiofiber/runtime/arch/other/machine.h"
#include "aiofiber/runtime/arch/other/registers.h"
#endif

namespace aiofiber::runtime {

// The registers of the caller, as they are at the return from this call.
Registers current_registers() noexcept __asm__("aiofiber_current_registers");

// The registers with which the suspended context at `fcontext` will resume. All zero when this Boost.Context
// lays its block out in a way that the self-test (run at the first call) does not understand. Threads: any,
// but the context must stay suspended; async-signal-safe.
Registers saved_registers(const void* fcontext) noexcept;

namespace arch {

// How far behind `fcontext` a saved context keeps its program counter, by the same self-test; 0: not known.
std::uint32_t saved_pc_offset() noexcept;

// The registers where a signal has interrupted its thread: `pc` is an instruction, no return address. All
// zero where kTellsInterruptedRegisters is false. `context`: the handler's third argument. Async-signal-safe.
Registers interrupted_registers(const void* context) noexcept;

// What else is known of a SIGSEGV. `code`: the si_code. Async-signal-safe.
struct FaultDetails {
  // The register by which code that touches each page of a large frame (-fstack-clash-protection) finds its
  // caller; 0: none.
  std::uintptr_t probing = 0;
  bool by_the_kernel = false;  // no access of the program's, but one that the kernel made or refused to make
};
FaultDetails fault_details(int code, const void* context) noexcept;

}  // namespace arch

}  // namespace aiofiber::runtime
