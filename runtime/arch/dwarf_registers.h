// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give for the command `aiofiber` to walk stacks of other programs with elfutils.
//
// Its folder's dwarf_registers.h has, in namespace arch:
//   struct DwarfRegisters       values[kCount] by DWARF's numbers, of which kSp and kPc are two
//   from_user(), to_user()      from and to what ptrace(2) and cores have
//   from_saved_context(block, pc_offset, address, registers)
//                               of a suspended context at `address`, copied to `block`; false if the copy is
//                               too short
#pragma once

#include <sys/user.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "aiofiber/runtime/arch/arch.h"

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/dwarf_registers.h"
#else
#include "arch/other/dwarf_registers.h"
#endif
