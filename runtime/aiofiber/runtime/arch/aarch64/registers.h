// SPDX-License-Identifier: Apache-2.0
//
// The four registers needed to walk code with call-frame information on AArch64.
//
// A function that calls another has saved x30, so a walk finds it on the stack. It counts as a register for
// the newest frame alone: an interrupted function may not have saved it yet.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// What is needed to find a frame's caller. `pc` is a return address: the call is before it. (To walk from an
// interrupted instruction, as a signal handler does, pass its address + 1.) `fp` is x29. `lr` is x30, the
// return address of a function that has not saved it yet; 0 for a function that made a call: such a function
// has saved it.
struct Registers {
  std::uintptr_t pc, sp, fp, lr;
};

}  // namespace aiofiber::runtime
