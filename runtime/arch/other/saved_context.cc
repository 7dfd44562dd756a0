// SPDX-License-Identifier: Apache-2.0
//
// Suspended contexts of an unknown processor: the place of the saved registers is unknown too.
#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime {

Registers saved_registers(const void*) noexcept { return {}; }
std::uint32_t arch::saved_pc_offset() noexcept { return 0; }

}  // namespace aiofiber::runtime
