// SPDX-License-Identifier: Apache-2.0
//
// A processor of which nothing is known.
//
// Each value is the careful one: a barrier is made where one may be needed, no red zone is read, and whoever
// could use registers is told that there are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aiofiber::runtime::arch {

inline constexpr const char* kName = "a known processor";
inline constexpr std::uint16_t kElfMachine = 0;  // EM_NONE
inline constexpr std::size_t kRedZoneBytes = 0;
inline constexpr bool kReleaseIsFullBarrier = false;
inline constexpr bool kTellsInterruptedRegisters = false;
inline constexpr std::string_view kCounterName = "";

}  // namespace aiofiber::runtime::arch
