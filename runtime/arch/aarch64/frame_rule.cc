// SPDX-License-Identifier: Apache-2.0
//
// What call-frame instructions say of the registers of AArch64 that a walk needs.
//
// Sources: DWARF for the Arm 64-bit Architecture (the registers' numbers and the vendor's instructions).
#include "arch/frame_rule.h"

#include <limits>

#include "arch/frame_code.h"
#include "inspect/call_frame.h"

namespace aiofiber::runtime {
namespace {

// DWARF's numbers of the registers that matter.
constexpr std::uint64_t kRegX12 = 12, kRegFp = 29, kRegLr = 30, kRegSp = 31;

// The instructions that toggle whether the return address is signed: it is stripped in any case.
constexpr std::uint8_t kNegateRaStateWithPc = 0x2c, kNegateRaState = 0x2d;

// What the instructions say, for one program counter.
struct RowRules {
  // Of a register: not changed, lost, or saved at CFA + at.
  struct Saved {
    enum class How : std::uint8_t { kSame, kLost, kAt } how = How::kSame;
    std::int64_t at = 0;
  };

  std::uint64_t cfa_register = 0;
  std::int64_t offset = 0;
  bool unsupported = false;  // until the CFA is defined again
  bool no_caller = false;
  Saved fp, lr;

  Row row() const {
    if (no_caller) return Row::stop(CfaRule::kOutermost);
    CfaRule rule = CfaRule::kUnsupported;
    if (cfa_register == kRegSp) {
      rule = CfaRule::kSp;
    } else if (cfa_register == kRegFp) {
      rule = CfaRule::kFp;
    } else if (cfa_register == kRegX12) {
      rule = CfaRule::kX12;
    }
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    const bool fits = offset % 8 == 0 && offset < kMax && offset > -kMax;
    if (unsupported || !fits || rule == CfaRule::kUnsupported) return Row::stop(CfaRule::kUnsupported);
    return Row{static_cast<std::int32_t>(offset) | static_cast<std::int32_t>(rule), place(fp), place(lr)};
  }

  void define_cfa(std::uint64_t reg, std::int64_t new_offset) {
    cfa_register = reg;
    offset = new_offset;
    unsupported = false;
  }
  void define_cfa_register(std::uint64_t reg) { define_cfa(reg, offset); }
  void define_cfa_offset(std::int64_t new_offset) { offset = new_offset; }
  void define_cfa_expression(const std::uint8_t*, const std::uint8_t*, std::uintptr_t) { unsupported = true; }

  void saved_at(std::uint64_t reg, std::int64_t at) { set(reg, {Saved::How::kAt, at}); }
  void saved_at_expression(std::uint64_t reg, const std::uint8_t*, const std::uint8_t*) { lost(reg); }
  void same(std::uint64_t reg) { set(reg, {}); }
  void lost(std::uint64_t reg) { set(reg, {Saved::How::kLost}); }
  void undefined(std::uint64_t reg) {
    if (reg == kRegLr) no_caller = true;
  }
  void restore(std::uint64_t reg, const RowRules& initial) {
    if (reg == kRegFp) fp = initial.fp;
    if (reg == kRegLr) {
      lr = initial.lr;
      no_caller = initial.no_caller;
    }
  }

  static bool processor_instruction(std::uint8_t operation) {
    return operation == kNegateRaState || operation == kNegateRaStateWithPc;
  }

 private:
  void set(std::uint64_t reg, Saved saved) {
    if (reg == kRegFp) fp = saved;
    if (reg == kRegLr) lr = saved;
  }

  // By the end of the frame that is nearer.
  std::int16_t place(const Saved& saved) const {
    if (saved.how == Saved::How::kSame) return Row::kSame;
    const std::int64_t from_base = saved.at + offset;
    if (saved.how == Saved::How::kLost || saved.at % 8 != 0) return Row::kLost;
    constexpr std::int64_t kLeast = std::numeric_limits<std::int16_t>::min();
    constexpr std::int64_t kMost = std::numeric_limits<std::int16_t>::max() - Row::kBase;
    if (saved.at < 0 && saved.at / 8 >= kLeast) return static_cast<std::int16_t>(saved.at / 8);
    if (from_base >= 0 && from_base / 8 <= kMost)
      return static_cast<std::int16_t>(from_base / 8 + Row::kBase);
    return Row::kLost;
  }
};

}  // namespace

Row compile_row(std::uintptr_t return_address) {
  const auto table = find_frame_table(return_address - 1);
  if (!table) return Row::stop(CfaRule::kNoTable);
  if (table->signal_frame) return Row::stop(CfaRule::kUnsupported);
  const auto rules = FrameCode<RowRules>(*table, return_address - 1).rules();
  return rules ? rules->row() : Row::stop(CfaRule::kUnsupported);
}

}  // namespace aiofiber::runtime
