// SPDX-License-Identifier: Apache-2.0
//
// The registers of an unknown processor.
//
// There is a program counter and a stack pointer, never filled: the command refuses programs of such a
// processor before it reads their stacks.
#pragma once

#include "arch/dwarf_registers.h"

namespace aiofiber::runtime::arch {

struct DwarfRegisters {
  static constexpr std::size_t kSp = 0, kPc = 1, kCount = 2;
  std::array<std::uint64_t, kCount> values{};
};

inline DwarfRegisters from_user(const user_regs_struct&) noexcept { return {}; }
inline user_regs_struct to_user(const DwarfRegisters&) noexcept { return {}; }
inline bool from_saved_context(std::span<const unsigned char>, std::size_t, std::uint64_t,
                               DwarfRegisters&) noexcept {
  return false;
}
template <class Read>
bool leave_entry(DwarfRegisters&, Read) {
  return false;
}

}  // namespace aiofiber::runtime::arch
