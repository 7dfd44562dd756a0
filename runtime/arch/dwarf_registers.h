// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give so that the command `aiofiber` can walk stacks of other programs with
// elfutils.
//
// Its folder's dwarf_registers.h has, in namespace arch:
//   struct DwarfRegisters       values[kCount] by DWARF's numbers, two of which are kSp and kPc
//   from_user(), to_user()      convert from and to the form of ptrace(2) and core files
//   from_saved_context(block, pc_offset, address, registers)
//                               reads a suspended context at `address`, copied to `block`; false if the
//                               copy is too short
//   leave_entry(registers, read)
//                               at a function's first instruction: makes the registers those of its caller.
//                               read(address, word) reads the stack; false if nothing is there
#pragma once

#include <sys/user.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "aiofiber/runtime/arch/arch.h"

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/dwarf_registers.h"
#elif AIOFIBER_ARCH_AARCH64
#include "arch/aarch64/dwarf_registers.h"
#else
#include "arch/other/dwarf_registers.h"
#endif
