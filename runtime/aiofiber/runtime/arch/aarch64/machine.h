// SPDX-License-Identifier: Apache-2.0
//
// AArch64 in numbers and names.
//
// Sources: the Procedure Call Standard for the Arm 64-bit Architecture (no red zone); the Arm Architecture
// Reference Manual on ordering (a store-release may be passed by later loads); Linux's arm_arch_timer.c (the
// name of its clock source).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// For an asm statement at the begin of a stack's first function: it has no caller.
#define AIOFIBER_ARCH_CFI_NO_CALLER ".cfi_undefined x30"

namespace aiofiber::runtime::arch {

inline constexpr const char* kName = "AArch64";
inline constexpr std::uint16_t kElfMachine = 183;  // EM_AARCH64
// The number of bytes below the stack pointer that a function may use without moving it.
inline constexpr std::size_t kRedZoneBytes = 0;
// Of memory, whatever the kernel was built with: its pages have 4, 16 or 64 KiB.
inline constexpr std::size_t kLargestPageBytes = 64 * 1024;
// Each atomic read-modify-write is a full barrier, even with release order.
inline constexpr bool kReleaseIsFullBarrier = false;
// interrupted_registers() and fault_details() return something.
inline constexpr bool kTellsInterruptedRegisters = true;
// The kernel's clock source name for the counter of read_counter(), when CLOCK_MONOTONIC is derived from it.
// Empty: no counter.
inline constexpr std::string_view kCounterName = "arch_sys_counter";

}  // namespace aiofiber::runtime::arch
