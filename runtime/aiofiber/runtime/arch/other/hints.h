// SPDX-License-Identifier: Apache-2.0
//
// Single instructions, on an unknown processor.
//
// They do nothing, or what the compiler makes of them: a program is slower but still correct. read_counter()
// is never called, because kCounterName is empty.
#pragma once

#include <cstdint>

namespace aiofiber::runtime::arch {

inline void pause() noexcept {}
inline void fetch_for_writing(const void* address) noexcept { __builtin_prefetch(address, 1); }
inline std::uint64_t read_counter() noexcept { return 0; }

}  // namespace aiofiber::runtime::arch
