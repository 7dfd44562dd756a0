// SPDX-License-Identifier: Apache-2.0
//
// x86-64 in numbers and names.
//
// Sources: the System V ABI for AMD64 (red zone), the Intel manual, volume 3, on memory ordering (locked
// instructions).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// For an asm statement at the begin of a stack's first function: it has no caller.
#define AIOFIBER_ARCH_CFI_NO_CALLER ".cfi_undefined rip"

namespace aiofiber::runtime::arch {

inline constexpr const char* kName = "x86-64";
inline constexpr std::uint16_t kElfMachine = 62;  // EM_X86_64
// The number of bytes below the stack pointer that a function may use without moving it.
inline constexpr std::size_t kRedZoneBytes = 128;
// Of memory, whatever the kernel was built with.
inline constexpr std::size_t kLargestPageBytes = 4096;
// Each atomic read-modify-write is a full barrier, even with release order.
inline constexpr bool kReleaseIsFullBarrier = true;
// interrupted_registers() and fault_details() return something.
inline constexpr bool kTellsInterruptedRegisters = true;
// The kernel's clock source name for the counter of read_counter(), when CLOCK_MONOTONIC is derived from it.
// Empty: no counter.
inline constexpr std::string_view kCounterName = "tsc";

}  // namespace aiofiber::runtime::arch
