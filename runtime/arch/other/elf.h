// SPDX-License-Identifier: Apache-2.0
//
// Relocations of an unknown processor: each one that names a symbol counts as a call of the symbol.
//
// This finds too many calls rather than too few. Libraries are searched for in the folders that every system
// has, and in the loader's cache without regard to the processor: opening a library of another processor
// fails.
#pragma once

#include <cstdint>

#include "arch/elf.h"

namespace aiofiber::runtime::arch {

inline SlotKind slot_kind(std::uint64_t) noexcept { return SlotKind::kImport; }
inline bool is_own_cache_entry(std::int32_t) noexcept { return true; }
inline constexpr const char* kLibraryFolder = "lib";

}  // namespace aiofiber::runtime::arch
