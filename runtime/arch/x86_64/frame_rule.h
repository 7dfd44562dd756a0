// SPDX-License-Identifier: Apache-2.0
//
// How to get from a frame to its caller on x86-64, for one program counter: a rule in eight bytes.
//
// Only rules that compilers and linkers use are understood; the others stop a walk. The names are those of
// DWARF: the canonical frame address (CFA) is the caller's rsp after the call.
#pragma once

#include "arch/frame_rule.h"

namespace aiofiber::runtime {

// How the canonical frame address (CFA: the caller's rsp after the call) is found, or why it is not.
enum class CfaRule : std::uint8_t {
  kNoTable,      // no call-frame information covers this address
  kOutermost,    // the information says that there is no caller
  kUnsupported,  // a rule which we do not interpret (signal frames, hand-written assembly)
  kRsp,          // rsp + offset
  kRbp,          // rbp + offset
  kRbx,          // rbx + offset
  kRbpDeref,     // the word at rbp + offset (functions that align their stack)
  kR11,          // r11 + offset: in the loop that touches each page of a large frame, where nothing is called
};

// The rule for one program counter, in the eight bytes that the cache stores. The CFA's offset is a multiple
// of eight; the CfaRule takes its low three bits.
struct Row {
  std::int32_t offset_and_rule = 0;
  // Where the caller's register is saved, relative to the CFA, or one of the constants below.
  std::int16_t rbp = kSame;
  std::int16_t rbx = kSame;

  static constexpr std::int16_t kSame = 0;   // the callee does not touch it
  static constexpr std::int16_t kAtRbp = 1;  // at the address that rbp holds
  static constexpr std::int16_t kLost = 2;   // somewhere that we do not follow

  static Row stop(CfaRule why) { return Row{static_cast<std::int32_t>(why)}; }
  CfaRule rule() const { return static_cast<CfaRule>(offset_and_rule & 7); }
  std::int64_t offset() const { return offset_and_rule & ~7; }
};
// Where a caller's register is, for step_by(). False: nowhere that may be read.
template <class Memory>
[[gnu::always_inline]] inline bool restore(const Memory& memory, std::int16_t place, std::uintptr_t cfa,
                                           std::uintptr_t& value) {
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
  if (!restore(memory, row.rbp, cfa, registers.rbp) || !restore(memory, row.rbx, cfa, registers.rbx))
    return Step::kCorrupted;
  registers.pc = caller;
  registers.sp = cfa;
  return caller != 0 ? Step::kCaller : Step::kOutermost;
}

}  // namespace aiofiber::runtime
