// SPDX-License-Identifier: Apache-2.0
//
// exit(3) in a task: the registered functions and the destructors of statics run on the task's stack. They
// block the thread as they would without aiofiber. A suspension would let other tasks run in a half-ended
// program.
#include <cstdlib>

#include "aiofiber/runtime/engine/fiber.h"
#include "hooks/core/real.h"

using namespace aiofiber::hooks;

extern "C" void exit(int status) noexcept {
  const aiofiber::runtime::HooksOff to_the_end;
  real::exit(status);
  __builtin_unreachable();
}
