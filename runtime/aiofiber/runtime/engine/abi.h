// SPDX-License-Identifier: Apache-2.0
//
// The mark by which a library that was compiled apart from the runtime in use, the preloaded hooks, knows
// whether it may touch that runtime's objects: both must be of one version and lay out their classes alike.
//
// Invariant: every program with a scheduler has the mark, since the scheduler refers to it.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

struct AbiMark {
  char version[24];      // of aiofiber, as text
  std::uint64_t layout;  // a hash of where the members are that hooks use

  friend constexpr bool operator==(const AbiMark&, const AbiMark&) = default;
};

// Of the runtime in use, which need not be the one that the caller was compiled with.
extern const AbiMark abi_mark;

}  // namespace aiofiber::runtime
