// SPDX-License-Identifier: Apache-2.0
//
// Two maps.
#include "simulation/bound_sockets.h"

namespace aiofiber::testing::detail {

namespace {
const std::vector<Endpoint*> kNone;
}

void BoundSockets::add(std::size_t host, Endpoint& endpoint) {
  if (endpoint.local.is_unix) {
    by_path_.insert_or_assign({host, endpoint.local.path}, &endpoint);
  } else {
    by_port_[{host, endpoint.kind, endpoint.local.port}].push_back(&endpoint);
  }
}

void BoundSockets::remove(std::size_t host, const Endpoint& endpoint) noexcept {
  if (endpoint.local.is_unix) {
    const auto found = by_path_.find(std::pair(host, endpoint.local.path));
    if (found != by_path_.end() && found->second == &endpoint) by_path_.erase(found);
    return;
  }
  const auto found = by_port_.find({host, endpoint.kind, endpoint.local.port});
  if (found == by_port_.end()) return;
  std::erase(found->second, &endpoint);
  if (found->second.empty()) by_port_.erase(found);
}

const std::vector<Endpoint*>& BoundSockets::at_port(std::size_t host, Endpoint::Kind kind,
                                                    std::uint16_t port) const noexcept {
  const auto found = by_port_.find({host, kind, port});
  if (found == by_port_.end()) return kNone;
  looked_at_ += found->second.size();
  return found->second;
}

Endpoint* BoundSockets::at_path(std::size_t host, const std::string& path) const noexcept {
  const auto found = by_path_.find(std::pair(host, path));
  if (found == by_path_.end()) return nullptr;
  ++looked_at_;
  return found->second;
}

}  // namespace aiofiber::testing::detail
