// SPDX-License-Identifier: Apache-2.0
//
// The gate to the kernel's network: a simulator closes it for all code that runs on none of its machines.
//
// A thread that a simulated program starts knows nothing of the simulation. Without a gate its connect()
// would reach a real server in silence. The hooks and the facade's own socket calls ask here where they name
// an Internet address or look up a name. In production the gate is open: the cost is a relaxed load in those
// calls. Connections that are open already are not asked about.
#pragma once

#include <sys/socket.h>

#include <atomic>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// Whether a call is refused; then errno is set. `call`: its name. `address`: null for the look-up of a name.
// Threads: any.
using RealNetworkGate = bool (*)(const char* call, const sockaddr* address) noexcept;

// Null: open.
inline constinit std::atomic<RealNetworkGate> real_network_gate{nullptr};

// Whether a call with this address fails, with errno ENETUNREACH. Never for a null or a Unix address.
inline bool is_unreachable(const char* call, const void* address, socklen_t length) noexcept {
  const RealNetworkGate gate = real_network_gate.load(std::memory_order_relaxed);
  if (AIOFIBER_LIKELY(gate == nullptr) || address == nullptr || length < sizeof(sa_family_t)) return false;
  const auto* const named = static_cast<const sockaddr*>(address);
  return (named->sa_family == AF_INET || named->sa_family == AF_INET6) && gate(call, named);
}
// The same for the address in a message. An open gate looks at no message: it may be a bad pointer.
inline bool is_unreachable(const char* call, const msghdr* message) noexcept {
  if (AIOFIBER_LIKELY(real_network_gate.load(std::memory_order_relaxed) == nullptr)) return false;
  return message != nullptr && is_unreachable(call, message->msg_name, message->msg_namelen);
}

// Whether the look-up of a name, or of an address's name, fails. The caller fails as for a broken resolver.
inline bool is_name_service_closed(const char* call) noexcept {
  const RealNetworkGate gate = real_network_gate.load(std::memory_order_relaxed);
  return AIOFIBER_UNLIKELY(gate != nullptr) && gate(call, nullptr);
}

}  // namespace aiofiber::runtime
