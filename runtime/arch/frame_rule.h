// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give for a walk over a stack: the rule that leads from a frame to its caller.
//
// The rule depends on the program counter alone, so it is read from the tables once and kept as a Row, eight
// bytes, in a cache. The folder gives, in its own frame_rule.h and .cc:
//   struct Row             eight bytes without pointers
//   compile_row(address)   the rule that holds where the return address will be returned to. No lock of ours,
//                          no allocation
//   step_by(row, registers, probing, memory)
//                          applies it. `registers` become the caller's only if the answer is kCaller or
//                          kOutermost. `probing`: see FaultDetails; 0 for all frames but the first.
//                          memory.load(address, word) is the only way to the stack. Inline: 5 ns a frame
#pragma once

#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime {

// How the step from a frame to its caller went.
enum class Step { kCaller, kOutermost, kNoTable, kUnsupported, kCorrupted };

struct Row;
Row compile_row(std::uintptr_t return_address);

}  // namespace aiofiber::runtime

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/frame_rule.h"
#else
#include "arch/other/frame_rule.h"
#endif

namespace aiofiber::runtime {
static_assert(sizeof(Row) == sizeof(std::uint64_t));
}
