// SPDX-License-Identifier: Apache-2.0
//
// Copies and compares memory of the program whatever is in it.
//
// AddressSanitizer puts forbidden bytes between variables, and checks memcpy() and memcmp() in all code. With
// it, bytes are read one by one, in functions that it does not check.
#pragma once

#include <cstddef>
#include <cstring>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime::shared_state {

#if AIOFIBER_ASAN
#define AIOFIBER_UNCHECKED __attribute__((no_sanitize("address"), noinline))
#else
#define AIOFIBER_UNCHECKED
#endif

AIOFIBER_UNCHECKED inline char byte_at(const char* memory) noexcept { return *memory; }

AIOFIBER_UNCHECKED inline void copy_bytes(char* to, const char* from, std::size_t bytes) noexcept {
#if AIOFIBER_ASAN
  for (std::size_t i = 0; i < bytes; ++i) to[i] = *const_cast<const volatile char*>(from + i);
#else
  std::memcpy(to, from, bytes);
#endif
}

AIOFIBER_UNCHECKED inline bool equal_bytes(const char* a, const char* b, std::size_t bytes) noexcept {
#if AIOFIBER_ASAN
  for (std::size_t i = 0; i < bytes; ++i) {
    if (*const_cast<const volatile char*>(a + i) != *const_cast<const volatile char*>(b + i)) return false;
  }
  return true;
#else
  return std::memcmp(a, b, bytes) == 0;
#endif
}

#undef AIOFIBER_UNCHECKED

}  // namespace aiofiber::runtime::shared_state
