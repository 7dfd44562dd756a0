// SPDX-License-Identifier: Apache-2.0
//
// What call-frame instructions say of the registers of x86-64 that a walk needs.
#include "arch/frame_rule.h"

#include <algorithm>
#include <array>
#include <limits>

#include "arch/frame_code.h"
#include "inspect/call_frame.h"
#include "inspect/table_bytes.h"

namespace aiofiber::runtime {
namespace {

// DWARF's numbers of the registers that matter.
constexpr std::uint64_t kRegRbx = 3, kRegRbp = 6, kRegRsp = 7, kRegR11 = 11, kRegRip = 16;

// What the instructions say, for one program counter.
struct RowRules {
  std::uint64_t cfa_register = 0;
  std::int64_t offset = 0;
  bool deref = false;
  bool unsupported = false;  // until the CFA is defined again
  bool no_caller = false;
  bool return_lost = false;  // the return address is not where a call puts it, until a rule restores it
  std::int16_t rbp = Row::kSame;
  std::int16_t rbx = Row::kSame;

  Row row() const {
    if (no_caller) return Row::stop(CfaRule::kOutermost);
    CfaRule rule = CfaRule::kUnsupported;
    if (deref) {
      rule = CfaRule::kRbpDeref;
    } else if (cfa_register == kRegRsp) {
      rule = CfaRule::kRsp;
    } else if (cfa_register == kRegRbp) {
      rule = CfaRule::kRbp;
    } else if (cfa_register == kRegRbx) {
      rule = CfaRule::kRbx;
    } else if (cfa_register == kRegR11) {
      rule = CfaRule::kR11;
    }
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    const bool fits = offset % 8 == 0 && offset < kMax && offset > -kMax;
    if (return_lost || unsupported || !fits || rule == CfaRule::kUnsupported) {
      return Row::stop(CfaRule::kUnsupported);
    }
    return Row{static_cast<std::int32_t>(offset) | static_cast<std::int32_t>(rule), rbp, rbx};
  }

  void define_cfa(std::uint64_t reg, std::int64_t new_offset) {
    cfa_register = reg;
    offset = new_offset;
    deref = unsupported = false;
  }
  void define_cfa_register(std::uint64_t reg) { define_cfa(reg, offset); }
  void define_cfa_offset(std::int64_t new_offset) {
    offset = new_offset;
    if (deref) unsupported = true;
  }

  // The caller's register `reg` is saved at CFA + place.
  void saved_at(std::uint64_t reg, std::int64_t place) {
    if (reg == kRegRip) {
      return_lost = place != -8;
      return;
    }
    if (reg != kRegRbp && reg != kRegRbx) return;
    if (place % 8 != 0 || place == 0 || place < std::numeric_limits<std::int16_t>::min() || place > 0x7ff0) {
      lost(reg);
    } else {
      set(reg, static_cast<std::int16_t>(place));
    }
  }

  void set(std::uint64_t reg, std::int16_t place) {
    if (reg == kRegRbp) rbp = place;
    if (reg == kRegRbx) rbx = place;
  }

  void same(std::uint64_t reg) { set(reg, Row::kSame); }

  void lost(std::uint64_t reg) {
    if (reg == kRegRip) return_lost = true;
    set(reg, Row::kLost);
  }

  void undefined(std::uint64_t reg) {
    if (reg == kRegRip) no_caller = true;
  }

  void restore(std::uint64_t reg, const RowRules& initial) {
    if (reg == kRegRbp) rbp = initial.rbp;
    if (reg == kRegRbx) rbx = initial.rbx;
    if (reg == kRegRip) {
      return_lost = initial.return_lost;
      no_caller = initial.no_caller;
    }
  }

  static bool processor_instruction(std::uint8_t) { return false; }

  // DW_CFA_def_cfa_expression: only the two forms that compilers and linkers write.
  void define_cfa_expression(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t target) {
    unsupported = true;
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
    const std::int64_t word = expression.sleb();
    if (expression.at() + 1 != end || *expression.at() != kDeref) return;
    offset = word;
    deref = true;
    unsupported = false;
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
