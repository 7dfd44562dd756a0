// SPDX-License-Identifier: Apache-2.0
//
// What every processor has: a program counter and a stack pointer.
//
// Nothing fills them here: all functions of arch.h that return registers return zeros. A stack walk takes a
// `pc` of zero for "unknown" and has no frames.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

struct Registers {
  std::uintptr_t pc, sp;
};

}  // namespace aiofiber::runtime
