// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give for a stack walk: the rule that leads from a frame to its caller.
//
// The rule depends only on the program counter. So it is read from the tables once and cached as a Row of
// eight bytes. The folder gives, in its own frame_rule.h and .cc:
//   struct Row             eight bytes without pointers
//   compile_row(address)   the rule at a return address. Takes no lock of ours, allocates nothing
//   step_by(row, registers, probing, memory)
//                          applies the rule. `registers` become the caller's only if the answer is kCaller or
//                          kOutermost. `probing`: see FaultDetails; 0 for all frames but the first. Reads the
//                          stack only by memory.load(address, word). Inline: 5 ns a frame
#pragma once

#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime {

// The result of the step from a frame to its caller.
enum class Step { kCaller, kOutermost, kNoTable, kUnsupported, kCorrupted };

struct Row;
Row compile_row(std::uintptr_t return_address);

}  // namespace aiofiber::runtime

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/frame_rule.h"
#elif AIOFIBER_ARCH_AARCH64
#include "arch/aarch64/frame_rule.h"
#else
#include "arch/other/frame_rule.h"
#endif

namespace aiofiber::runtime {
static_assert(sizeof(Row) == sizeof(std::uint64_t));
}
