// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give so that the command `aiofiber` can read programs and find their libraries.
//
// Its folder's elf.h has, in namespace arch:
//   slot_kind(type)      what the loader does for a relocation of this type, an R_..._ number
//   is_own_cache_entry(flags)   whether an entry of /etc/ld.so.cache is for this processor
//   kLibraryFolder       what the loader substitutes for $LIB, with Debian's name
#pragma once

#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {

enum class SlotKind {
  kOther,   // not relevant
  kImport,  // code calls the symbol through it
  kData,    // the symbol's address in data: its callers cannot be seen
};

}  // namespace aiofiber::runtime::arch

#if AIOFIBER_ARCH_X86_64
#include "arch/x86_64/elf.h"
#elif AIOFIBER_ARCH_AARCH64
#include "arch/aarch64/elf.h"
#else
#include "arch/other/elf.h"
#endif
