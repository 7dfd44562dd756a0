// SPDX-License-Identifier: Apache-2.0
//
// Single instructions of AArch64 that the language has no word for.
//
// All of them are inline, because each costs less than a call. They are hints and readings: a program is also
// correct without them.
#pragma once

#include <cstdint>

namespace aiofiber::runtime::arch {

// For a loop that waits for another thread. `isb` waits some tens of cycles; `yield` does nothing on most
// processors, because they have one thread a core.
inline void pause() noexcept { asm volatile("isb" ::: "memory"); }

// Announces a write to the cache line of `address`.
inline void fetch_for_writing(const void* address) noexcept { __builtin_prefetch(address, 1); }

// The virtual counter, which Linux lets programs read. Useful only where the kernel derives its clock from
// it: see kCounterName.
inline std::uint64_t read_counter() noexcept {
  std::uint64_t count;
  asm volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
}

}  // namespace aiofiber::runtime::arch
