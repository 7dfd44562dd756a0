// SPDX-License-Identifier: Apache-2.0
//
// The four registers needed to walk code with call-frame information on x86-64.
//
// rbx is one of them: if a function aligns its stack and has a frame of variable size, g++ finds the frame by
// rbx.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// What is needed to find a frame's caller. `pc` (rip) is a return address: the call is before it. (To walk
// from an interrupted instruction, as a signal handler does, pass its address + 1.)
struct Registers {
  std::uintptr_t pc, sp, rbp, rbx;
};

}  // namespace aiofiber::runtime
