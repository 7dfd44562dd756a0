// SPDX-License-Identifier: Apache-2.0
//
// The interpreter of a function's call-frame instructions, up to one program counter: the part that is the
// same for every processor.
//
// It decodes the instructions and tells a Rules what each says of a register. A processor's frame_rule.cc
// defines its Rules, a struct that can be copied:
//   define_cfa(reg, offset), define_cfa_register(reg), define_cfa_offset(offset)
//   define_cfa_expression(begin, end, target)
//   saved_at(reg, offset)                   at CFA + offset
//   saved_at_expression(reg, begin, end)
//   same(reg), lost(reg), undefined(reg)    lost: in a place that is not followed
//   restore(reg, initial)                   as `initial`, the rules at the function's begin, have it
//   processor_instruction(operation)        an instruction of this processor alone; false: unknown
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "inspect/call_frame.h"
#include "inspect/table_bytes.h"

namespace aiofiber::runtime {

// DWARF's call-frame instructions (DW_CFA_...), except the three with an operand in their low bits.
enum CfaInstruction : std::uint8_t {
  kNop = 0x00,
  kAdvance1 = 0x02,
  kAdvance2 = 0x03,
  kAdvance4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kGnuArgsSize = 0x2e,
};

// The rules belong to one program counter after the other. run() stops before the first instruction for an
// address after the target.
template <class Rules>
class FrameCode {
 public:
  FrameCode(const FrameTable& table, std::uintptr_t target) : table_(table) {
    run(table.initial_code, table.initial_end, 0, 0);
    initial_ = rules_;
    run(table.code, table.code_end, table.function, target);
  }

  // The rules at the target; nothing after an unknown instruction, because nothing after it can be trusted.
  std::optional<Rules> rules() const { return failed_ ? std::nullopt : std::optional(rules_); }

 private:
  void run(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t location,
           std::uintptr_t target);
  void run_other(std::uint8_t operation, Bytes& in, std::uintptr_t target);
  void run_expression(std::uint8_t operation, Bytes& in, std::uintptr_t target);

  void remember() {
    if (remembered_count_ == kMaxRemembered) {
      failed_ = true;
    } else {
      remembered_[remembered_count_++] = rules_;
    }
  }
  void restore_remembered() {
    if (remembered_count_ == 0) {
      failed_ = true;
    } else {
      rules_ = remembered_[--remembered_count_];
    }
  }

  std::int64_t scaled(std::uint64_t operand) const {
    return static_cast<std::int64_t>(operand) * table_.data_alignment;
  }

  static constexpr std::size_t kMaxRemembered = 8;
  const FrameTable& table_;
  Rules rules_;
  Rules initial_;
  std::array<Rules, kMaxRemembered> remembered_;
  std::size_t remembered_count_ = 0;
  bool failed_ = false;
};

template <class Rules>
void FrameCode<Rules>::run(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t location,
                           std::uintptr_t target) {
  Bytes in(begin);
  const auto advance = [&](std::uint64_t delta) { location += delta * table_.code_alignment; };
  while (in.at() < end && location <= target && !failed_) {
    const auto operation = in.fixed<std::uint8_t>();
    const std::uint8_t low = operation & 0x3f;
    switch (operation & 0xc0) {
      case 0x40:
        advance(low);
        continue;
      case 0x80:
        rules_.saved_at(low, scaled(in.uleb()));
        continue;
      case 0xc0:
        rules_.restore(low, initial_);
        continue;
      default:
        break;
    }
    switch (operation) {
      case kAdvance1:
        advance(in.fixed<std::uint8_t>());
        break;
      case kAdvance2:
        advance(in.fixed<std::uint16_t>());
        break;
      case kAdvance4:
        advance(in.fixed<std::uint32_t>());
        break;
      default:
        run_other(operation, in, target);
    }
  }
}

template <class Rules>
void FrameCode<Rules>::run_other(std::uint8_t operation, Bytes& in, std::uintptr_t target) {
  switch (operation) {
    case kNop:
      break;
    case kOffsetExtended: {
      const std::uint64_t reg = in.uleb();
      rules_.saved_at(reg, scaled(in.uleb()));
      break;
    }
    case kOffsetExtendedSf: {
      const std::uint64_t reg = in.uleb();
      rules_.saved_at(reg, in.sleb() * table_.data_alignment);
      break;
    }
    case kRestoreExtended:
      rules_.restore(in.uleb(), initial_);
      break;
    case kUndefined:
      rules_.undefined(in.uleb());
      break;
    case kSameValue:
      rules_.same(in.uleb());
      break;
    case kRegister:
    case kValOffset:
    case kValOffsetSf:
      rules_.lost(in.uleb());
      in.uleb();
      break;
    case kRememberState:
      remember();
      break;
    case kRestoreState:
      restore_remembered();
      break;
    case kDefCfa: {
      const std::uint64_t reg = in.uleb();
      rules_.define_cfa(reg, static_cast<std::int64_t>(in.uleb()));
      break;
    }
    case kDefCfaSf: {
      const std::uint64_t reg = in.uleb();
      rules_.define_cfa(reg, in.sleb() * table_.data_alignment);
      break;
    }
    case kDefCfaRegister:
      rules_.define_cfa_register(in.uleb());
      break;
    case kDefCfaOffset:
      rules_.define_cfa_offset(static_cast<std::int64_t>(in.uleb()));
      break;
    case kDefCfaOffsetSf:
      rules_.define_cfa_offset(in.sleb() * table_.data_alignment);
      break;
    case kGnuArgsSize:
      in.uleb();
      break;
    case kDefCfaExpression:
    case kExpression:
    case kValExpression:
      run_expression(operation, in, target);
      break;
    default:
      failed_ = !rules_.processor_instruction(operation);
      break;
  }
}

template <class Rules>
void FrameCode<Rules>::run_expression(std::uint8_t operation, Bytes& in, std::uintptr_t target) {
  const std::uint64_t reg = operation == kDefCfaExpression ? 0 : in.uleb();
  const std::uint64_t length = in.uleb();
  const std::uint8_t *const begin = in.at(), *const end = begin + length;
  if (operation == kDefCfaExpression) {
    rules_.define_cfa_expression(begin, end, target);
  } else if (operation == kExpression) {
    rules_.saved_at_expression(reg, begin, end);
  } else {
    rules_.lost(reg);
  }
  in.skip(length);
}

}  // namespace aiofiber::runtime
