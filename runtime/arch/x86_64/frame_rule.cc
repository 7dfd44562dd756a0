// SPDX-License-Identifier: Apache-2.0
//
// The interpreter of a function's call-frame instructions, up to one program counter, for the registers of
// x86-64.
#include "arch/frame_rule.h"

#include <algorithm>
#include <array>
#include <limits>

#include "inspect/call_frame.h"
#include "inspect/table_bytes.h"

namespace aiofiber::runtime {
namespace {

// DWARF's numbers of the registers that matter.
constexpr std::uint64_t kRegRbx = 3, kRegRbp = 6, kRegRsp = 7, kRegR11 = 11, kRegRip = 16;

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

// Interprets call-frame instructions. The state belongs to one program counter after the other. run() stops
// before the first instruction for an address after the target.
class RowMachine {
 public:
  RowMachine(const FrameTable& table, std::uintptr_t target) : table_(table) {
    run(table.initial_code, table.initial_end, 0, 0);
    initial_ = state_;
    run(table.code, table.code_end, table.function, target);
  }

  Row row() const {
    if (state_.no_caller) return Row::stop(CfaRule::kOutermost);
    CfaRule rule = CfaRule::kUnsupported;
    if (state_.deref) {
      rule = CfaRule::kRbpDeref;
    } else if (state_.cfa_register == kRegRsp) {
      rule = CfaRule::kRsp;
    } else if (state_.cfa_register == kRegRbp) {
      rule = CfaRule::kRbp;
    } else if (state_.cfa_register == kRegRbx) {
      rule = CfaRule::kRbx;
    } else if (state_.cfa_register == kRegR11) {
      rule = CfaRule::kR11;
    }
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    const bool fits = state_.offset % 8 == 0 && state_.offset < kMax && state_.offset > -kMax;
    if (failed_ || state_.return_lost || state_.unsupported || !fits || rule == CfaRule::kUnsupported) {
      return Row::stop(CfaRule::kUnsupported);
    }
    return Row{static_cast<std::int32_t>(state_.offset) | static_cast<std::int32_t>(rule), state_.rbp,
               state_.rbx};
  }

 private:
  struct State {
    std::uint64_t cfa_register = 0;
    std::int64_t offset = 0;
    bool deref = false;
    bool unsupported = false;  // until the CFA is defined again
    bool no_caller = false;
    bool return_lost = false;  // the return address is not where a call puts it, until a rule restores it
    std::int16_t rbp = Row::kSame;
    std::int16_t rbx = Row::kSame;
  };

  void define_cfa(std::uint64_t reg, std::int64_t offset) {
    state_.cfa_register = reg;
    state_.offset = offset;
    state_.deref = state_.unsupported = false;
  }

  // The caller's register `reg` is saved at CFA + offset.
  void saved_at(std::uint64_t reg, std::int64_t offset) {
    if (reg == kRegRip) {
      state_.return_lost = offset != -8;
      return;
    }
    if (reg != kRegRbp && reg != kRegRbx) return;
    if (offset % 8 != 0 || offset == 0 || offset < std::numeric_limits<std::int16_t>::min() ||
        offset > 0x7ff0) {
      lost(reg);
    } else {
      set(reg, static_cast<std::int16_t>(offset));
    }
  }

  void set(std::uint64_t reg, std::int16_t place) {
    if (reg == kRegRbp) state_.rbp = place;
    if (reg == kRegRbx) state_.rbx = place;
  }

  void lost(std::uint64_t reg) {
    if (reg == kRegRip) state_.return_lost = true;
    set(reg, Row::kLost);
  }

  void restore_initial(std::uint64_t reg) {
    if (reg == kRegRbp) state_.rbp = initial_.rbp;
    if (reg == kRegRbx) state_.rbx = initial_.rbx;
    if (reg == kRegRip) {
      state_.return_lost = initial_.return_lost;
      state_.no_caller = initial_.no_caller;
    }
  }

  // DW_CFA_def_cfa_expression: only the two forms that compilers and linkers write.
  void define_cfa_expression(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t target) {
    state_.unsupported = true;
    define_cfa_of_linkage_table(begin, end, target);
    define_cfa_by_rbp(begin, end);
  }

  // The form that linkers write for the procedure linkage table. Its entries push one word on the way: the
  // CFA is rsp + 8, and 8 more from a certain byte of each 16 on. An interrupted thread can be there.
  void define_cfa_of_linkage_table(const std::uint8_t* begin, const std::uint8_t* end,
                                   std::uintptr_t target) {
    // breg7 (rsp) 8, breg16 (rip) 0, lit15, and, lit<n>, ge, lit3, shl, plus
    constexpr std::array<std::uint8_t, 11> kForm{0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x30, 0x2a, 0x33, 0x24, 0x22};
    constexpr std::size_t kThreshold = 6;
    constexpr std::uint8_t kLiterals = 32;
    if (static_cast<std::size_t>(end - begin) != kForm.size()) return;
    const std::uint8_t threshold = begin[kThreshold] - kForm[kThreshold];
    if (threshold >= kLiterals || !std::equal(begin, begin + kThreshold, kForm.begin()) ||
        !std::equal(begin + kThreshold + 1, end, kForm.begin() + kThreshold + 1))
      return;
    define_cfa(kRegRsp, target % 16 >= threshold ? 16 : 8);
  }

  // "The word at rbp + n": g++ writes this form where it aligns the stack.
  void define_cfa_by_rbp(const std::uint8_t* begin, const std::uint8_t* end) {
    constexpr std::uint8_t kBregRbp = 0x76, kDeref = 0x06;
    if (end - begin < 3 || *begin != kBregRbp) return;
    Bytes expression(begin + 1);
    const std::int64_t offset = expression.sleb();
    if (expression.at() + 1 != end || *expression.at() != kDeref) return;
    state_.offset = offset;
    state_.deref = true;
    state_.unsupported = false;
  }

  // DW_CFA_expression: only "rbp is saved at the address in rbp", which goes with the form above.
  void saved_at_expression(std::uint64_t reg, const std::uint8_t* begin, const std::uint8_t* end) {
    constexpr std::uint8_t kBregRbp = 0x76;
    const bool at_rbp = end - begin == 2 && begin[0] == kBregRbp && begin[1] == 0;
    if (reg == kRegRbp && at_rbp) {
      set(reg, Row::kAtRbp);
    } else {
      lost(reg);
    }
  }

  void run(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t location,
           std::uintptr_t target);

  static constexpr std::size_t kMaxRemembered = 8;
  const FrameTable& table_;
  State state_;
  State initial_;
  std::array<State, kMaxRemembered> remembered_;
  std::size_t remembered_count_ = 0;
  bool failed_ = false;  // an unknown instruction: nothing after it can be trusted
};

void RowMachine::run(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t location,
                     std::uintptr_t target) {
  Bytes in(begin);
  const auto advance = [&](std::uint64_t delta) { location += delta * table_.code_alignment; };
  while (in.at() < end && location <= target && !failed_) {
    const auto op = in.fixed<std::uint8_t>();
    const std::uint8_t low = op & 0x3f;
    switch (op & 0xc0) {
      case 0x40:
        advance(low);
        continue;
      case 0x80:
        saved_at(low, static_cast<std::int64_t>(in.uleb()) * table_.data_alignment);
        continue;
      case 0xc0:
        restore_initial(low);
        continue;
      default:
        break;
    }
    switch (op) {
      case kNop:
        break;
      case kAdvance1:
        advance(in.fixed<std::uint8_t>());
        break;
      case kAdvance2:
        advance(in.fixed<std::uint16_t>());
        break;
      case kAdvance4:
        advance(in.fixed<std::uint32_t>());
        break;
      case kOffsetExtended: {
        const std::uint64_t reg = in.uleb();
        saved_at(reg, static_cast<std::int64_t>(in.uleb()) * table_.data_alignment);
        break;
      }
      case kOffsetExtendedSf: {
        const std::uint64_t reg = in.uleb();
        saved_at(reg, in.sleb() * table_.data_alignment);
        break;
      }
      case kRestoreExtended:
        restore_initial(in.uleb());
        break;
      case kUndefined:
        if (in.uleb() == kRegRip) state_.no_caller = true;
        break;
      case kSameValue:
        set(in.uleb(), Row::kSame);
        break;
      case kRegister:
      case kValOffset:
      case kValOffsetSf:
        lost(in.uleb());
        in.uleb();
        break;
      case kRememberState:
        if (remembered_count_ == kMaxRemembered) {
          failed_ = true;
        } else {
          remembered_[remembered_count_++] = state_;
        }
        break;
      case kRestoreState:
        if (remembered_count_ == 0) {
          failed_ = true;
        } else {
          state_ = remembered_[--remembered_count_];
        }
        break;
      case kDefCfa: {
        const std::uint64_t reg = in.uleb();
        define_cfa(reg, static_cast<std::int64_t>(in.uleb()));
        break;
      }
      case kDefCfaSf: {
        const std::uint64_t reg = in.uleb();
        define_cfa(reg, in.sleb() * table_.data_alignment);
        break;
      }
      case kDefCfaRegister:
        define_cfa(in.uleb(), state_.offset);
        break;
      case kDefCfaOffset:
        state_.offset = static_cast<std::int64_t>(in.uleb());
        if (state_.deref) state_.unsupported = true;
        break;
      case kDefCfaOffsetSf:
        state_.offset = in.sleb() * table_.data_alignment;
        break;
      case kDefCfaExpression: {
        const std::uint64_t length = in.uleb();
        define_cfa_expression(in.at(), in.at() + length, target);
        in.skip(length);
        break;
      }
      case kExpression: {
        const std::uint64_t reg = in.uleb();
        const std::uint64_t length = in.uleb();
        saved_at_expression(reg, in.at(), in.at() + length);
        in.skip(length);
        break;
      }
      case kValExpression: {
        lost(in.uleb());
        const std::uint64_t length = in.uleb();
        in.skip(length);
        break;
      }
      case kGnuArgsSize:
        in.uleb();
        break;
      default:
        failed_ = true;
        break;
    }
  }
}

}  // namespace

Row compile_row(std::uintptr_t return_address) {
  const auto table = find_frame_table(return_address - 1);
  if (!table) return Row::stop(CfaRule::kNoTable);
  if (table->signal_frame) return Row::stop(CfaRule::kUnsupported);
  return RowMachine(*table, return_address - 1).row();
}

}  // namespace aiofiber::runtime
