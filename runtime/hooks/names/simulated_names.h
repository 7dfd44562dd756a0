// SPDX-License-Identifier: Apache-2.0
//
// Names on a simulated machine (engine/network.h): its network gives the address, after some time.
//
// libc then makes its lists and records from that address, which needs no look-up. So they are of libc's
// memory, and no resolver is ever asked. Code outside of the machines gets no names (engine/real_network.h).
#pragma once

#include <arpa/inet.h>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/blocking_call.h"

namespace aiofiber::hooks {

// Asks the network, and waits as long as it says. False with errno: the task was cancelled meanwhile.
inline bool look_up_simulated(runtime::Network& network, const char* name, runtime::NameAnswer& answer) {
  answer = network.look_up(name);
  return answer.after <= 0 || sleep_until(deadline_after(answer.after));
}

// Whether the text is a numeric address, which needs no look-up.
inline bool is_address(const char* text) noexcept {
  unsigned char address[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, text, address) == 1 || ::inet_pton(AF_INET6, text, address) == 1;
}

// Whether a simulation keeps this look-up from the caller. `call`: its name.
inline bool is_name_closed(const char* call, const char* name) noexcept {
  if (AIOFIBER_LIKELY(runtime::real_network_gate.load(std::memory_order_relaxed) == nullptr)) return false;
  return name != nullptr && !is_address(name) && runtime::is_name_service_closed(call);
}

}  // namespace aiofiber::hooks
