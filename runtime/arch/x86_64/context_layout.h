// SPDX-License-Identifier: Apache-2.0
//
// The block that a suspended context leaves on its stack: where in it the registers are.
//
// Found out by a self-test instead of assumed, because it differs between releases of Boost.Context (1.81
// saves one word more than 1.74). x86-64 only.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// Byte offsets in the block; rsp will be the address behind rip. `rip` is 0 when unknown.
struct alignas(std::uint64_t) FcontextLayout {
  std::uint16_t rip = 0, rbp = 0, rbx = 0;
  std::uint16_t tested = 0;  // a flag
};

// Tested at the first call, by any thread.
FcontextLayout fcontext_layout() noexcept;

}  // namespace aiofiber::runtime
