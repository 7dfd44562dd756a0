// SPDX-License-Identifier: Apache-2.0
//
// Relocations and library folders of x86-64.
//
// Sources: the System V ABI for AMD64 (relocations); glibc's sysdeps/generic/ldconfig.h (FLAG_X8664_LIB64, in
// the loader's cache).
#pragma once

#include <elf.h>

#include <cstdint>

#include "arch/elf.h"

namespace aiofiber::runtime::arch {

inline SlotKind slot_kind(std::uint64_t type) noexcept {
  if (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) return SlotKind::kImport;
  return type == R_X86_64_64 ? SlotKind::kData : SlotKind::kOther;
}

inline bool is_own_cache_entry(std::int32_t flags) noexcept { return (flags & 0xff00) == 0x0300; }

inline constexpr const char* kLibraryFolder = "lib/x86_64-linux-gnu";

}  // namespace aiofiber::runtime::arch
