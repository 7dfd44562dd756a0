// SPDX-License-Identifier: Apache-2.0
//
// How to get from a frame to its caller on x86-64, for one program counter: a rule in eight bytes.
//
// Only rules that compilers and linkers use are understood; any other rule stops a walk. The names are
// DWARF's: the canonical frame address (CFA) is the caller's rsp after the call.
#pragma once

#include "arch/frame_rule.h"

namespace aiofiber::runtime {

// How to find the canonical frame address (CFA: the caller's rsp after the call), or why it is not known.
enum class CfaRule : std::uint8_t {
  kNoTable,      // no call-frame information covers this address
  kOutermost,    // the call-frame information says that there is no caller
  kUnsupported,  // a rule that is not interpreted (signal frames, hand-written assembly)
  kRsp,          // rsp + offset
  kRbp,          // rbp + offset
  kRbx,          // rbx + offset
  kRbpDeref,     // the word at rbp + offset (functions that align their stack)
  kR11,          // r11 + offset: in the loop that touches each page of a large frame; the loop calls nothing
};

// The rule for one program counter, in the eight bytes that the cache stores. The CFA's offset is a multiple
// of eight; the CfaRule takes its low three bits.
struct Row {
  std::int32_t offset_and_rule = 0;
  // Where the caller's register is saved, relative to the CFA, or one of these constants.
  std::int16_t rbp = kSame;
  std::int16_t rbx = kSame;

  static constexpr std::int16_t kSame = 0;   // the callee does not change it
  static constexpr std::int16_t kAtRbp = 1;  // at the address in rbp
  static constexpr std::int16_t kLost = 2;   // in a place that is not followed

  static Row stop(CfaRule why) { return Row{static_cast<std::int32_t>(why)}; }
  CfaRule rule() const { return static_cast<CfaRule>(offset_and_rule & 7); }
  std::int64_t offset() const { return offset_and_rule & ~7; }
};

// Reads a caller's register from its place, for step_by(). False: no readable place.
template <class Memory>
[[gnu::always_inline]] inline bool restore_register(const Memory& memory, std::int16_t place,
                                                    std::uintptr_t cfa, std::uintptr_t& value) {
  switch (place) {
    case Row::kSame:
      return true;
    case Row::kAtRbp:
      return memory.load(value, value);
    case Row::kLost:
      value = 0;
      return true;
    default:
      return memory.load(cfa + static_cast<std::uintptr_t>(std::intptr_t{place}), value);
  }
}

template <class Memory>
[[gnu::always_inline]] inline Step step_by(Row row, Registers& registers, std::uintptr_t probing,
                                           const Memory& memory) {
  std::uintptr_t cfa = static_cast<std::uintptr_t>(row.offset());
  switch (row.rule()) {
    case CfaRule::kRsp:
      cfa += registers.sp;
      break;
    case CfaRule::kRbp:
      cfa += registers.rbp;
      break;
    case CfaRule::kRbx:
      cfa += registers.rbx;
      break;
    case CfaRule::kR11:
      cfa += probing;
      break;
    case CfaRule::kRbpDeref:
      if (!memory.load(cfa + registers.rbp, cfa)) return Step::kCorrupted;
      break;
    case CfaRule::kOutermost:
      return Step::kOutermost;
    case CfaRule::kNoTable:
      return Step::kNoTable;
    default:
      return Step::kUnsupported;
  }
  std::uintptr_t caller = 0;
  if (cfa <= registers.sp || !memory.load(cfa - 8, caller)) return Step::kCorrupted;
  if (!restore_register(memory, row.rbp, cfa, registers.rbp) ||
      !restore_register(memory, row.rbx, cfa, registers.rbx))
    return Step::kCorrupted;
  registers.pc = caller;
  registers.sp = cfa;
  return caller != 0 ? Step::kCaller : Step::kOutermost;
}

}  // namespace aiofiber::runtime
