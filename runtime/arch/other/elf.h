// SPDX-License-Identifier: Apache-2.0
//
// Relocations of a processor of which nothing is known: each one that names a symbol counts as a call of it.
//
// That says too much rather than too little. Libraries are looked for in the folders that every system has,
// and in the loader's cache whatever processor they are for: one of another is refused when it is opened.
#pragma once

#include <cstdint>

#include "arch/elf.h"

namespace aiofiber::runtime::arch {

inline SlotKind slot_kind(std::uint64_t) noexcept { return SlotKind::kImport; }
inline bool is_own_cache_entry(std::int32_t) noexcept { return true; }
inline constexpr const char* kLibraryFolder = "lib";

}  // namespace aiofiber::runtime::arch
