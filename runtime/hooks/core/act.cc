// SPDX-License-Identifier: Apache-2.0
//
// The state of act(), and the turns of other tasks.
#include "hooks/core/act.h"

#include "aiofiber/runtime/engine/parker.h"

namespace aiofiber::hooks {

constinit bool stands_aside = false;
constinit thread_local unsigned calls_since_turn __attribute__((tls_model("initial-exec"))) = 0;

void give_turn() {
  const int saved_errno = errno;
  calls_since_turn = 0;
  if (!runtime::current_fiber()->unwinding) without_throwing([] { runtime::yield_now(); });
  errno = saved_errno;
}

}  // namespace aiofiber::hooks
