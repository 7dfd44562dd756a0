// SPDX-License-Identifier: Apache-2.0
//
// One instruction of AArch64: which kind it is, and its fields.
//
// Only what a search of code for calls and for memory operands needs. Source: the Arm Architecture Reference
// Manual, "A64 instruction set encoding".
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace aiofiber::runtime::arch {

struct Instruction {
  std::uint32_t code = 0;

  static constexpr std::uint32_t kSignLr = 0xd503233f;           // paciasp, which is a landing place, too
  static constexpr std::uint32_t kBtiCall = 0xd503245f;          // bti c
  static constexpr std::uint32_t kBeginOfResolver = 0xa9bf7bf0;  // stp x16, x30, [sp, -16]!
  static constexpr unsigned kZero = 31;                          // xzr, or sp as a base

  static Instruction at(const unsigned char* bytes) {
    Instruction read;
    std::memcpy(&read.code, bytes, sizeof read.code);
    return read;
  }

  unsigned destination() const { return code & 31; }
  unsigned base() const { return (code >> 5) & 31; }

  // ---- branches
  bool is_bti() const { return (code & 0xffffff3f) == 0xd503241f; }
  bool is_call() const { return code >> 26 == 0x25; }                           // bl
  bool is_jump() const { return code >> 26 == 0x05; }                           // b
  bool is_conditional() const { return (code & 0xff000010) == 0x54000000; }     // b.cond
  bool is_compare_branch() const { return (code & 0x7e000000) == 0x34000000; }  // cbz, cbnz
  bool is_test_branch() const { return (code & 0x7e000000) == 0x36000000; }     // tbz, tbnz
  bool is_direct_branch() const {
    return is_call() || is_jump() || is_conditional() || is_compare_branch() || is_test_branch();
  }
  bool is_indirect_branch() const { return (code & 0xfe000000) == 0xd6000000; }  // br, blr, ret, ...
  bool is_jump_by(unsigned reg) const { return (code & ~0x3e0u) == 0xd61f0000 && base() == reg; }
  bool is_call_by(unsigned reg) const { return (code & ~0x3e0u) == 0xd63f0000 && base() == reg; }
  bool is_system_call() const { return code == 0xd4000001; }
  // Of a direct branch, in bytes.
  std::int64_t branch_distance() const {
    if (is_call() || is_jump()) return signed_field(0, 26) * 4;
    return is_test_branch() ? signed_field(5, 14) * 4 : signed_field(5, 19) * 4;
  }

  // ---- addresses
  bool is_page_address() const { return (code & 0x9f000000) == 0x90000000; }  // adrp
  bool is_address() const { return (code & 0x9f000000) == 0x10000000; }       // adr
  std::uint64_t page_address(std::uint64_t own) const {
    return (own & ~std::uint64_t{0xfff}) + static_cast<std::uint64_t>(address_distance() * 4096);
  }
  std::int64_t address_distance() const { return signed_field(5, 19) * 4 + ((code >> 29) & 3); }
  // add xd, xn, #number
  bool is_add_of_number() const { return (code & 0xff800000) == 0x91000000; }
  std::uint64_t added_number() const {
    const std::uint64_t number = (code >> 10) & 0xfff;
    return (code & 0x00400000) != 0 ? number << 12 : number;
  }

  // movz wd or xd, #number, without a shift; or a move from the zero register
  bool sets_to_number(unsigned reg, std::uint32_t& number) const {
    const std::uint32_t one_size = code & 0x7fffffff;
    number = (code >> 5) & 0xffff;
    if (destination() != reg) return false;
    if ((one_size & 0x7fe00000) == 0x52800000) return true;
    number = 0;
    return one_size == (0x2a1f03e0 | reg);
  }

  // ---- loads and stores
  bool is_load_or_store() const { return (code & 0x0a000000) == 0x08000000; }
  bool is_of_vector() const { return (code & 0x04000000) != 0; }
  bool is_load_of_literal() const { return (code & 0x3b000000) == 0x18000000; }
  // [xn, #number]: the usual form. Pairs, and numbers that are no multiple of the size.
  bool has_scaled_offset() const { return (code & 0x3b000000) == 0x39000000; }
  bool has_small_offset() const { return (code & 0x3b200c00) == 0x38000000; }
  bool is_pair() const { return (code & 0x3a000000) == 0x28000000; }
  bool is_pair_with_offset() const { return (code & 0x3b800000) == 0x29000000; }
  bool is_exclusive() const { return (code & 0x3f000000) == 0x08000000; }  // and ordered ones, and cas
  bool is_compare_and_swap() const { return (code & 0x3fa07c00) == 0x08a07c00; }
  bool is_atomic() const { return (code & 0x3f200c00) == 0x38200000; }  // ldadd, swp, ...
  bool changes_base() const {
    return (code & 0x3b200400) == 0x38000400 || (is_pair() && (code & 0x00800000) != 0);
  }
  // ldr xt, [xn, #number]
  bool is_load_of_word() const { return (code & 0xffc00000) == 0xf9400000; }
  std::uint64_t load_offset() const { return ((code >> 10) & 0xfff) * 8; }

  // By the fields of a load or a store, except for atomic ones.
  bool loads() const {
    if (is_pair() || is_exclusive()) return (code & 0x00400000) != 0;
    const unsigned operation = (code >> 22) & 3;
    // Two bits tell the operation. 128 bits of a vector use the upper one for the size.
    return is_of_vector() ? (operation & 1) != 0 : operation != 0;
  }
  std::size_t access_bytes() const {
    if (is_pair()) return std::size_t{2} << pair_scale();
    return is_wide_vector() ? 16 : std::size_t{1} << (code >> 30);
  }
  std::int64_t access_offset() const {
    if (has_scaled_offset())
      return static_cast<std::int64_t>(((code >> 10) & 0xfff) * static_cast<std::uint64_t>(access_bytes()));
    if (has_small_offset()) return signed_field(12, 9);
    if (is_pair_with_offset()) return signed_field(15, 7) * (std::int64_t{1} << pair_scale());
    return 0;
  }

  // Whether a general register is changed by it; not asked of branches.
  bool changes(unsigned reg) const {
    if (is_load_or_store()) {
      if (changes_base() && base() == reg) return true;
      if (is_compare_and_swap()) return ((code >> 16) & 31) == reg;       // what was there
      if (is_compare_and_swap()) return ((code >> 16) & 31) == reg;       // what was there
      if (is_exclusive() && !loads()) return ((code >> 16) & 31) == reg;  // the status
      if (is_of_vector() || (!is_atomic() && !loads())) return false;
      return destination() == reg || (is_pair() && ((code >> 10) & 31) == reg);
    }
    const bool processes_data = (code & 0x1c000000) == 0x10000000 || (code & 0x0e000000) == 0x0a000000;
    return processes_data && destination() == reg;
  }

 private:
  std::int64_t signed_field(unsigned low, unsigned bits) const {
    const auto shifted = static_cast<std::int32_t>(code << (32 - low - bits));
    return shifted >> (32 - bits);
  }
  unsigned pair_scale() const {
    const unsigned size = code >> 30;
    return is_of_vector() ? 2 + size : size == 2 ? 3 : 2;
  }
  bool is_wide_vector() const { return is_of_vector() && (code & 0xc0800000) == 0x00800000; }
};
static_assert(sizeof(Instruction) == 4);

}  // namespace aiofiber::runtime::arch
