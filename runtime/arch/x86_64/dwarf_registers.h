// SPDX-License-Identifier: Apache-2.0
//
// The registers of x86-64 by DWARF's numbers: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8 to
// 15, 16 rip.
//
// Source: the System V ABI for AMD64, figure 3.36.
#pragma once

#include <cstring>

#include "arch/dwarf_registers.h"

namespace aiofiber::runtime::arch {

struct DwarfRegisters {
  static constexpr std::size_t kSp = 7, kPc = 16, kCount = 17;
  std::array<std::uint64_t, kCount> values{};
};

inline DwarfRegisters from_user(const user_regs_struct& r) noexcept {
  return {{r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
           r.r14, r.r15, r.rip}};
}

inline user_regs_struct to_user(const DwarfRegisters& registers) noexcept {
  const auto& v = registers.values;
  user_regs_struct r{};
  r.rax = v[0], r.rdx = v[1], r.rcx = v[2], r.rbx = v[3], r.rsi = v[4], r.rdi = v[5], r.rbp = v[6];
  r.rsp = v[7];
  r.r8 = v[8], r.r9 = v[9], r.r10 = v[10], r.r11 = v[11], r.r12 = v[12], r.r13 = v[13], r.r14 = v[14];
  r.r15 = v[15];
  r.rip = v[16];
  return r;
}

// Boost.Context saves r12 r13 r14 r15 rbx rbp and then the return address.
inline bool from_saved_context(std::span<const unsigned char> block, std::size_t pc_offset,
                               std::uint64_t address, DwarfRegisters& registers) noexcept {
  constexpr std::size_t kSaved[] = {12, 13, 14, 15, 3, 6};
  constexpr std::size_t kSavedBytes = sizeof kSaved;
  std::uint64_t words[std::size(kSaved) + 1];
  if (block.size() < pc_offset + sizeof *words || pc_offset < kSavedBytes) return false;
  std::memcpy(words, &block[pc_offset - kSavedBytes], sizeof words);
  for (std::size_t i = 0; i < std::size(kSaved); ++i) registers.values[kSaved[i]] = words[i];
  registers.values[DwarfRegisters::kPc] = words[std::size(kSaved)];
  registers.values[DwarfRegisters::kSp] = address + pc_offset + sizeof *words;
  return true;
}

// The call has pushed the return address, and the function nothing.
template <class Read>
bool leave_entry(DwarfRegisters& registers, Read read) {
  std::uint64_t& sp = registers.values[DwarfRegisters::kSp];
  if (!read(sp, registers.values[DwarfRegisters::kPc])) return false;
  sp += sizeof sp;
  return true;
}

}  // namespace aiofiber::runtime::arch
