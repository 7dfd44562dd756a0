// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give so that `aiofiber hooks --check` finds calls in machine code without a
// disassembler.
//
// Code reaches a function by a displacement. The search looks at every displacement, and then at the bytes
// before each one that leads to a wanted address. The folder's call_code.h has the following in namespace
// arch. The functions are inline because they run for each byte of a program. `at` is the address of a
// displacement's first byte:
//   for_each_displacement(code, size, address, found)   calls found(index, target) for each possible one
//   for_each_short_jump(code, size, address, found)   the same for jumps with a displacement of one byte
//   is_branch(at), is_operand(at)   a call or jump; a memory operand, or an address that is taken
//   use_of_memory(at)   what the instruction does with the operand at this displacement
//   is_jump_through_slot(at), is_call_through_slot(at)
//   stub_begin(code, index)   the begin of the linkage-table stub whose jump has this displacement
//   set_before(code, index, Argument)   the number that code before it sets for an argument; -1: not found
//   where_true_goes, is_jump_back(code, size, index)   where a result that is not 0 leads; a jump backwards
//   for_each_system_call(code, size, found)   calls found(number) for each instruction that makes one
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {

// Of syscall(2): the first is the call's number; the third is the operation if the call is futex.
enum class Argument { kFirst, kThird };

struct MemoryUse {
  bool reads = false;
  bool writes = false;
  bool takes_address = false;
  bool is_wide = false;      // perhaps of 16 bytes: two fields at once
  unsigned bytes_after = 0;  // of the instruction, behind the displacement: they move its target
};

}  // namespace aiofiber::runtime::arch

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/call_code.h"
#elif AIOFIBER_ARCH_AARCH64
#include "arch/aarch64/call_code.h"
#else
#include "arch/other/call_code.h"
#endif
