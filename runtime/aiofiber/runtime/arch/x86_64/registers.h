// SPDX-License-Identifier: Apache-2.0
//
// The four registers by which code with call-frame information is walked on x86-64.
//
// rbx is among them because g++ finds the frame of a function by it that aligns its stack and has a frame of
// variable size.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// What has to be known about a frame to find its caller. `pc` (rip) is a return address: the call stands
// before it. (To walk from an interrupted instruction, as a signal handler does, pass its address + 1.)
struct Registers {
  std::uintptr_t pc, sp, rbp, rbx;
};

}  // namespace aiofiber::runtime
