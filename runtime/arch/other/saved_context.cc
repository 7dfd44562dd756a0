// SPDX-License-Identifier: Apache-2.0
//
// Suspended contexts of a processor of which nothing is known: where the registers are saved is unknown too.
#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime {

Registers saved_registers(const void*) noexcept { return {}; }
std::uint32_t arch::saved_pc_offset() noexcept { return 0; }

}  // namespace aiofiber::runtime
