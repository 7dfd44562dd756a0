// SPDX-License-Identifier: Apache-2.0
//
// Call-frame information: how to get from a frame to its caller, for one program counter.
//
// The entry of a function in .eh_frame is found by libgcc and interpreted into a Row, which fits in eight
// bytes so that it can be cached. Only rules that compilers and linkers use are understood; the others stop a
// walk. x86-64 only.
#pragma once

#include <cstdint>
#include <optional>

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
static_assert(sizeof(Row) == sizeof(std::uint64_t));

// What .eh_frame says about the function around an address.
struct FrameTable {
  const std::uint8_t* initial_code = nullptr;  // instructions of the common part (CIE) ...
  const std::uint8_t* initial_end = nullptr;
  const std::uint8_t* code = nullptr;  // ... and of the function's own part (FDE)
  const std::uint8_t* code_end = nullptr;
  std::uint64_t code_alignment = 1;
  std::int64_t data_alignment = 1;
  bool signal_frame = false;
  std::uintptr_t function = 0;
  std::uintptr_t personality = 0;
  std::uintptr_t exception_table = 0;  // LSDA; 0 when exceptions pass through without any work
};

// The table of the function that contains `instruction`, which lies inside the calling instruction, not
// behind it.
std::optional<FrameTable> find_frame_table(std::uintptr_t instruction);

// The rule that holds where `return_address` will be returned to.
Row compile_row(std::uintptr_t return_address);

}  // namespace aiofiber::runtime
