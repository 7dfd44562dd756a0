// SPDX-License-Identifier: Apache-2.0
//
// Single instructions of x86-64 that the language has no word for.
//
// All of them are inline, because each costs less than a call. They are hints and readings: a program is also
// correct without them.
#pragma once

#include <cstdint>

namespace aiofiber::runtime::arch {

// For a loop that waits for another thread: lets the other hardware thread of the core run.
inline void pause() noexcept { __builtin_ia32_pause(); }

// Announces a write to the cache line of `address`. Older processors ignore it. (__builtin_prefetch() fetches
// for reading unless built for newer processors.)
inline void fetch_for_writing(const void* address) noexcept {
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
}

// The time stamp counter. Useful only where the kernel trusts it: see kCounterName.
inline std::uint64_t read_counter() noexcept { return __builtin_ia32_rdtsc(); }

}  // namespace aiofiber::runtime::arch
