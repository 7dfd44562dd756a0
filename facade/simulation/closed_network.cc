// SPDX-License-Identifier: Apache-2.0
//
// The gate that a simulation closes, and what it says.
#include "simulation/closed_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <mutex>
#include <string>

#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "simulation/host.h"

namespace aiofiber::testing::detail {

namespace {

constinit std::mutex mutex;
constinit std::size_t closures = 0;  // guarded by mutex
constinit std::atomic<bool> told{false};

std::string target(const sockaddr* address) {
  if (address == nullptr) return {};
  char text[INET6_ADDRSTRLEN] = "";
  const void* const number =
      address->sa_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
          : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  ::inet_ntop(address->sa_family, number, text, sizeof text);
  return std::string(" with ") + text;
}

bool refuses(const char* call, const sockaddr* address) noexcept {
  if (Host::of_calling_program() != nullptr) return false;
  if (!told.exchange(true)) {
    aiofiber::detail::log(LogLevel::WARNING,
                          std::string(call) + "()" + target(address) +
                              " is refused: it was called outside the nodes of the Simulation, and would use "
                              "the real network. Let a "
                              "node's task call it (Node::run(), create_task()) instead of a thread, or set "
                              "SimulationOptions::real_network. Further refusals are not reported.");
  }
  errno = ENETUNREACH;
  return true;
}

}  // namespace

ClosedNetwork::ClosedNetwork() {
  const std::lock_guard lock(mutex);
  if (closures++ > 0) return;
  told = false;
  runtime::real_network_gate = refuses;
}

ClosedNetwork::~ClosedNetwork() {
  const std::lock_guard lock(mutex);
  if (--closures == 0) runtime::real_network_gate = nullptr;
}

}  // namespace aiofiber::testing::detail
