// SPDX-License-Identifier: Apache-2.0
//
// Relocations and library folders of AArch64.
//
// Sources: ELF for the Arm 64-bit Architecture (relocations); glibc's sysdeps/generic/ldconfig.h
// (FLAG_AARCH64_LIB64, in the loader's cache).
#pragma once

#include <elf.h>

#include <cstdint>

#include "arch/elf.h"

namespace aiofiber::runtime::arch {

inline SlotKind slot_kind(std::uint64_t type) noexcept {
  if (type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT) return SlotKind::kImport;
  return type == R_AARCH64_ABS64 ? SlotKind::kData : SlotKind::kOther;
}

inline bool is_own_cache_entry(std::int32_t flags) noexcept { return (flags & 0xff00) == 0x0a00; }

inline constexpr const char* kLibraryFolder = "lib/aarch64-linux-gnu";

}  // namespace aiofiber::runtime::arch
