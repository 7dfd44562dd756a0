// SPDX-License-Identifier: Apache-2.0
//
// How to get from a frame to its caller on AArch64, for one program counter: a rule in eight bytes.
//
// Only rules that compilers and linkers use are understood; any other rule stops a walk. The names are
// DWARF's: the canonical frame address (CFA) is the caller's sp at the call. A call puts its return address
// into x30, so a row says where each of x29 and x30 is saved.
//
// A return address may be signed (pointer authentication, -mbranch-protection). The call-frame information
// says where, but stripping the signature of an unsigned address changes nothing. So each is stripped.
#pragma once

#include "arch/frame_rule.h"

namespace aiofiber::runtime {

// How to find the canonical frame address, or why it is not known.
enum class CfaRule : std::uint8_t {
  kNoTable,      // no call-frame information covers this address
  kOutermost,    // the call-frame information says that there is no caller
  kUnsupported,  // a rule that is not interpreted (signal frames, hand-written assembly)
  kSp,           // sp + offset
  kFp,           // x29 + offset
  kX12,          // x12 + offset: in the loop that touches each page of a large frame; the loop calls nothing
};

// The rule for one program counter, in the eight bytes that the cache stores. The CFA's offset is a multiple
// of eight; the CfaRule takes its low three bits.
//
// A place is where the caller's register is saved. Compilers save at either end of a frame, which may be
// large. So a place is counted in words from one of its ends: if negative, from the CFA; if kBase or more,
// from the other end, the CFA without its offset.
struct Row {
  std::int32_t offset_and_rule = 0;
  std::int16_t fp = kSame;
  std::int16_t lr = kSame;

  static constexpr std::int16_t kSame = 0;  // the callee does not change it
  static constexpr std::int16_t kLost = 1;  // in a place that is not followed
  static constexpr std::int16_t kBase = 2;

  static Row stop(CfaRule why) { return Row{static_cast<std::int32_t>(why)}; }
  CfaRule rule() const { return static_cast<CfaRule>(offset_and_rule & 7); }
  std::int64_t offset() const { return offset_and_rule & ~7; }
};

// The address without its signature.
[[gnu::always_inline]] inline std::uintptr_t strip_signature(std::uintptr_t address) {
  register std::uintptr_t x30 asm("x30") = address;
  asm("hint #7" : "+r"(x30));  // xpaclri: nothing on processors without signatures
  return x30;
}

// Reads a caller's register from its place, for step_by(). False: no readable place.
template <class Memory>
[[gnu::always_inline]] inline bool restore_register(const Memory& memory, std::int16_t place,
                                                    std::uintptr_t cfa, std::uintptr_t base,
                                                    std::uintptr_t& value) {
  const auto words = [](std::int16_t count) { return static_cast<std::uintptr_t>(std::intptr_t{count} * 8); };
  if (place == Row::kSame) return true;
  if (place < 0) return memory.load(cfa + words(place), value);
  if (place >= Row::kBase)
    return memory.load(base + words(static_cast<std::int16_t>(place - Row::kBase)), value);
  value = 0;
  return true;
}

template <class Memory>
[[gnu::always_inline]] inline Step step_by(Row row, Registers& registers, std::uintptr_t probing,
                                           const Memory& memory) {
  std::uintptr_t base = 0;
  switch (row.rule()) {
    case CfaRule::kSp:
      base = registers.sp;
      break;
    case CfaRule::kFp:
      base = registers.fp;
      break;
    case CfaRule::kX12:
      base = probing;
      break;
    case CfaRule::kOutermost:
      return Step::kOutermost;
    case CfaRule::kNoTable:
      return Step::kNoTable;
    default:
      return Step::kUnsupported;
  }
  const std::uintptr_t cfa = base + static_cast<std::uintptr_t>(row.offset());
  // A frame may be empty, but then x30 is not saved in it. So each other step goes up.
  const bool goes_up = cfa > registers.sp || (cfa == registers.sp && row.lr == Row::kSame);
  if (!goes_up) return Step::kCorrupted;
  if (row.lr == Row::kLost || (row.lr == Row::kSame && registers.lr == 0)) return Step::kUnsupported;
  std::uintptr_t caller = registers.lr, fp = registers.fp;
  if (!restore_register(memory, row.lr, cfa, base, caller) ||
      !restore_register(memory, row.fp, cfa, base, fp))
    return Step::kCorrupted;
  caller = strip_signature(caller);
  registers = {.pc = caller, .sp = cfa, .fp = fp, .lr = 0};
  return caller != 0 ? Step::kCaller : Step::kOutermost;
}

}  // namespace aiofiber::runtime
