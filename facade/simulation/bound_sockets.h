// SPDX-License-Identifier: Apache-2.0
//
// The sockets that have an address, by machine, protocol and port, or by machine and path.
//
// A packet finds its socket here, and a program hears that an address is taken. Both happen for each
// connection, so their cost must not grow with the number of sockets: there may be ten thousand. At one port
// are few: one, or one of each family or address. Ends that a listener has made are not in here; they share
// its address, and their packets find them by their connection.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

class BoundSockets {
 public:
  // The endpoint's address stays as it is until remove(), except for its IP.
  void add(std::size_t host, Endpoint& endpoint);
  void remove(std::size_t host, const Endpoint& endpoint) noexcept;

  // Of the Internet, the oldest first. `host`: the machine's number.
  const std::vector<Endpoint*>& at_port(std::size_t host, Endpoint::Kind kind,
                                        std::uint16_t port) const noexcept;
  // Null: none.
  Endpoint* at_path(std::size_t host, const std::string& path) const noexcept;

  // How many sockets its callers have had to look at.
  std::uint64_t looked_at() const noexcept { return looked_at_; }

 private:
  struct Port {
    std::size_t host;
    Endpoint::Kind kind;
    std::uint16_t port;
    auto operator<=>(const Port&) const noexcept = default;
  };
  std::map<Port, std::vector<Endpoint*>> by_port_;
  std::map<std::pair<std::size_t, std::string>, Endpoint*, std::less<>> by_path_;
  mutable std::uint64_t looked_at_ = 0;
};

}  // namespace aiofiber::testing::detail
