// SPDX-License-Identifier: Apache-2.0
//
// exit(3) in a task: what is registered to run at exit, and the destructors of statics, run on the task's
// stack. They block the thread as they would without aiofiber: a suspension would leave the program half
// ended and let other tasks run on in it.
#include <cstdlib>

#include "aiofiber/runtime/engine/fiber.h"
#include "hooks/core/real.h"

using namespace aiofiber::hooks;

extern "C" void exit(int status) noexcept {
  const aiofiber::runtime::HooksOff to_the_end;
  real::exit(status);
  __builtin_unreachable();
}
