// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give. A processor has two folders of the same name: x86_64/ here, and one in
// runtime/arch/ for what only sources use. `other` is for processors without a folder: everything compiles
// there and answers that nothing is known.
//
// Only this file asks the compiler for the processor. A port writes, in this order: machine.h, hints.h,
// jump.h (then fibers switch); registers.h with the functions declared here, and the sources' frame_rule.h
// (then stacks can be walked); landing_pad.cc, throw_entry.cc (then exceptions are understood);
// dwarf_registers.h, elf.h, call_code.h (then the command `aiofiber` reads stacks and code). The files from
// frame_rule.h on are in runtime/arch/.
//
// The build option AIOFIBER_ARCH_OTHER selects `other` even if the processor has a folder: for a test.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__LP64__) && !defined(AIOFIBER_ARCH_OTHER)
#define AIOFIBER_ARCH_X86_64 1
#else
#define AIOFIBER_ARCH_X86_64 0
#endif
#if defined(__aarch64__) && defined(__LP64__) && defined(__AARCH64EL__) && !defined(AIOFIBER_ARCH_OTHER)
#define AIOFIBER_ARCH_AARCH64 1
#else
#define AIOFIBER_ARCH_AARCH64 0
#endif

// glibc has supported this processor since before version 2.33. So programs may call the functions that
// stat() and mknod() used then: __xstat, __xmknod and the like.
#if defined(__x86_64__) || defined(__aarch64__)
#define AIOFIBER_ARCH_HAS_XSTAT 1
#else
#define AIOFIBER_ARCH_HAS_XSTAT 0
#endif

// machine.h   facts in numbers: the red zone, the machine's number in ELF files, and so on
// hints.h     single instructions: pause(), fetch_for_writing(), read_counter()
// registers.h struct Registers, all that a stack walk needs; its first two members are `pc` and `sp`
// jump.h      jump_to() and Transfer: the raw switch of stacks, used by the scheduler's switch
#if AIOFIBER_ARCH_X86_64
#include "aiofiber/runtime/arch/x86_64/hints.h"
#include "aiofiber/runtime/arch/x86_64/jump.h"
#include "aiofiber/runtime/arch/x86_64/machine.h"
#include "aiofiber/runtime/arch/x86_64/registers.h"
#elif AIOFIBER_ARCH_AARCH64
#include "aiofiber/runtime/arch/aarch64/hints.h"
#include "aiofiber/runtime/arch/aarch64/jump.h"
#include "aiofiber/runtime/arch/aarch64/machine.h"
#include "aiofiber/runtime/arch/aarch64/registers.h"
#else
#include "aiofiber/runtime/arch/other/hints.h"
#include "aiofiber/runtime/arch/other/jump.h"
#include "aiofiber/runtime/arch/other/machine.h"
#include "aiofiber/runtime/arch/other/registers.h"
#endif

namespace aiofiber::runtime {

// The caller's registers, as they are at the return from this call.
Registers current_registers() noexcept __asm__("aiofiber_current_registers");

// The registers with which the suspended context at `fcontext` will resume. All zero if the self-test, run at
// the first call, does not understand how this Boost.Context lays out its block. Threads: any, but the
// context must stay suspended; async-signal-safe.
Registers saved_registers(const void* fcontext) noexcept;

namespace arch {

// The distance from `fcontext` to the saved program counter, by the same self-test; 0: not known.
std::uint32_t saved_pc_offset() noexcept;

// The registers at the point where a signal interrupted its thread: `pc` is an instruction, not a return
// address. All zero where kTellsInterruptedRegisters is false. `context`: the handler's third argument.
// Async-signal-safe.
Registers interrupted_registers(const void* context) noexcept;

// More about a SIGSEGV. `code`: the si_code. Async-signal-safe.
struct FaultDetails {
  // Code that touches each page of a large frame (-fstack-clash-protection) finds its caller by this
  // register; 0: none.
  std::uintptr_t probing = 0;
  bool by_the_kernel = false;  // made or refused by the kernel: not an access of the program
};
FaultDetails fault_details(int code, const void* context) noexcept;

}  // namespace arch

}  // namespace aiofiber::runtime
