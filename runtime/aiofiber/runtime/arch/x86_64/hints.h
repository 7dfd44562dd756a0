// SPDX-License-Identifier: Apache-2.0
//
// Single instructions of x86-64 that the language has no word for.
//
// All of them are inline, as each costs less than a call. They are hints and readings: a program is as right
// without them.
#pragma once

#include <cstdint>

namespace aiofiber::runtime::arch {

// In a loop that waits for another thread: lets the other half of the core run.
inline void pause() noexcept { __builtin_ia32_pause(); }

// The cache line of `address` will be written soon. Older processors take it for nothing.
// (__builtin_prefetch() fetches for reading unless built for newer ones.)
inline void fetch_for_writing(const void* address) noexcept {
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
}

// The time stamp counter. Only of use where the kernel trusts it: kCounterName.
inline std::uint64_t read_counter() noexcept { return __builtin_ia32_rdtsc(); }

}  // namespace aiofiber::runtime::arch
