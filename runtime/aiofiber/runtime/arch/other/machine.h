// SPDX-License-Identifier: Apache-2.0
//
// Constants for an unknown processor.
//
// Each value is the safe choice: a barrier is used where one may be needed, the red zone has no bytes, and no
// registers are available.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#define AIOFIBER_ARCH_CFI_NO_CALLER ""

namespace aiofiber::runtime::arch {

inline constexpr const char* kName = "a known processor";
inline constexpr std::uint16_t kElfMachine = 0;  // EM_NONE
inline constexpr std::size_t kRedZoneBytes = 0;
inline constexpr std::size_t kLargestPageBytes = 64 * 1024;
inline constexpr bool kReleaseIsFullBarrier = false;
inline constexpr bool kTellsInterruptedRegisters = false;
inline constexpr std::string_view kCounterName = "";

}  // namespace aiofiber::runtime::arch
