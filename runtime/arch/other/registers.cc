// SPDX-License-Identifier: Apache-2.0
//
// Registers of an unknown processor: all zero, so there are no frames.
#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime {

Registers current_registers() noexcept { return {}; }

namespace arch {

Registers interrupted_registers(const void*) noexcept { return {}; }
FaultDetails fault_details(int, const void*) noexcept { return {}; }

}  // namespace arch

}  // namespace aiofiber::runtime
