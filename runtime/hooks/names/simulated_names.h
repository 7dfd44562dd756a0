// SPDX-License-Identifier: Apache-2.0
//
// Names on a simulated machine (engine/network.h): its network gives the address, after some time.
//
// libc then makes its lists and records from that address, which needs no look-up. So they are of libc's
// memory, and no resolver is ever asked.
#pragma once

#include "aiofiber/runtime/engine/network.h"
#include "hooks/core/blocking_call.h"

namespace aiofiber::hooks {

// Asks the network, and waits as long as it says. False with errno: the task was cancelled meanwhile.
inline bool look_up_simulated(runtime::Network& network, const char* name, runtime::NameAnswer& answer) {
  answer = network.look_up(name);
  return answer.after <= 0 || sleep_until(deadline_after(answer.after));
}

}  // namespace aiofiber::hooks
