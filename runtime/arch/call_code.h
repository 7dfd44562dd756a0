// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give for `aiofiber hooks --check` to see calls in machine code, without a
// disassembler.
//
// Code reaches a function by a displacement, so all of them are looked at, and then the bytes before those
// that lead somewhere of interest. The folder's call_code.h has, in namespace arch, inline because it is done
// for each byte of a program (`at` is the address of a displacement's first byte):
//   for_each_displacement(code, size, address, found)   calls found(index, target) for each that may be one
//   is_branch(at), is_operand(at)   a call or jump; an operand in memory, or an address that is taken
//   is_jump_through_slot(at), is_call_through_slot(at)
//   stub_begin(code, index)   where the stub of the linkage table begins whose jump has this displacement
//   set_before(code, index, Argument)   the number that code sets for an argument before it; -1: not seen
//   for_each_system_call(code, size, found)   calls found(number) for each instruction that makes one
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {

// Of syscall(2): its number, and for futex what is done, the third.
enum class Argument { kFirst, kThird };

}  // namespace aiofiber::runtime::arch

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/call_code.h"
#else
#include "arch/other/call_code.h"
#endif
