// SPDX-License-Identifier: Apache-2.0
//
// The registers of AArch64 by DWARF's numbers: 0 to 30 are x0 to x30, and 31 is sp.
//
// The program counter has no number there. It is kept as 32, which no call-frame information names.
//
// Source: DWARF for the Arm 64-bit Architecture, section 4.1.
#pragma once

#include <cstring>

#include "arch/dwarf_registers.h"

namespace aiofiber::runtime::arch {

struct DwarfRegisters {
  static constexpr std::size_t kFp = 29, kLr = 30, kSp = 31, kPc = 32, kCount = 33;
  std::array<std::uint64_t, kCount> values{};
};

inline DwarfRegisters from_user(const user_regs_struct& r) noexcept {
  DwarfRegisters registers;
  for (std::size_t i = 0; i < DwarfRegisters::kSp; ++i) registers.values[i] = r.regs[i];
  registers.values[DwarfRegisters::kSp] = r.sp;
  registers.values[DwarfRegisters::kPc] = r.pc;
  return registers;
}

inline user_regs_struct to_user(const DwarfRegisters& registers) noexcept {
  user_regs_struct r{};
  for (std::size_t i = 0; i < DwarfRegisters::kSp; ++i) r.regs[i] = registers.values[i];
  r.sp = registers.values[DwarfRegisters::kSp];
  r.pc = registers.values[DwarfRegisters::kPc];
  return r;
}

// Boost.Context saves x19 to x30 and then the address to continue at, in a block of a multiple of 16 bytes.
inline bool from_saved_context(std::span<const unsigned char> block, std::size_t pc_offset,
                               std::uint64_t address, DwarfRegisters& registers) noexcept {
  constexpr std::size_t kFirst = 19, kSaved = DwarfRegisters::kLr - kFirst + 1;
  std::uint64_t words[kSaved + 1];
  constexpr std::size_t kSavedBytes = kSaved * sizeof *words;
  if (block.size() < pc_offset + sizeof *words || pc_offset < kSavedBytes) return false;
  std::memcpy(words, &block[pc_offset - kSavedBytes], sizeof words);
  for (std::size_t i = 0; i < kSaved; ++i) registers.values[kFirst + i] = words[i];
  registers.values[DwarfRegisters::kPc] = words[kSaved];
  registers.values[DwarfRegisters::kSp] = address + (pc_offset + sizeof *words + 15) / 16 * 16;
  return true;
}

// The call has put the return address into x30.
template <class Read>
bool leave_entry(DwarfRegisters& registers, Read) {
  registers.values[DwarfRegisters::kPc] = registers.values[DwarfRegisters::kLr];
  return true;
}

}  // namespace aiofiber::runtime::arch
