// SPDX-License-Identifier: Apache-2.0
//
// AbiMark tells a library that was compiled separately (the preloaded hooks) whether it may touch the objects
// of the runtime in use. Both must have the same version and the same class layouts.
//
// Invariant: every program with a scheduler has the mark, because the scheduler refers to it.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

struct AbiMark {
  char version[24];      // of aiofiber, as text
  std::uint64_t layout;  // a hash of the offsets of the members that hooks use

  friend constexpr bool operator==(const AbiMark&, const AbiMark&) = default;
};

// The mark of the runtime in use. The caller may have been compiled with another one.
extern const AbiMark abi_mark;

}  // namespace aiofiber::runtime
