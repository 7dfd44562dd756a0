// SPDX-License-Identifier: Apache-2.0
//
// The place in the program that called one of our functions, and what is noted for it.
//
// Every function here stands for something that the program does at that place: an access, or a call of libc.
// The stack pointer tells two calls of one function apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared_state/accesses.h"

namespace aiofiber::runtime::shared_state {

struct Caller {
  static constexpr std::size_t kFewBytes = 16;  // that note_few() takes
  std::uintptr_t pc, sp;

  // Before the access.
  void reads(const void* from, std::size_t bytes) const noexcept {
    if (bytes - 1 < kFewBytes)
      return note_few<AccessKind::kRead>(reinterpret_cast<std::uintptr_t>(from), bytes, pc, sp);
    note(AccessKind::kRead, from, bytes);
  }
  void writes(const void* to, std::size_t bytes) const noexcept {
    if (bytes - 1 < kFewBytes)
      return note_few<AccessKind::kWrite>(reinterpret_cast<std::uintptr_t>(to), bytes, pc, sp);
    note(AccessKind::kWrite, to, bytes);
  }
  void updates(const void* at, std::size_t bytes) const noexcept { note(AccessKind::kUpdate, at, bytes); }

 private:
  void note(AccessKind kind, const void* at, std::size_t bytes) const noexcept {
    note_access(kind, reinterpret_cast<std::uintptr_t>(at), bytes, pc, sp);
  }
};

}  // namespace aiofiber::runtime::shared_state

// The caller of the function in which this stands. A macro, because a function would give its own.
#define AIOFIBER_CALLER                                                                           \
  ::aiofiber::runtime::shared_state::Caller {                                                     \
    reinterpret_cast<std::uintptr_t>(__builtin_extract_return_addr(__builtin_return_address(0))), \
        reinterpret_cast<std::uintptr_t>(__builtin_dwarf_cfa())                                   \
  }
