// SPDX-License-Identifier: Apache-2.0
//
// How long a connection believes in a peer that does not answer, as the program's options say (tcp(7)).
//
// TCP_SYNCNT bounds the attempts to connect, TCP_USER_TIMEOUT the time that something is under way, and
// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT the time that an idle connection is believed
// in. Without them, attempts end after two minutes, sending after a quarter of an hour, and idleness never.
// TCP_USER_TIMEOUT does not end the wait for a receiver that is there and does not read; on Linux it does.
#pragma once

#include <cstdint>

#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

class Wires;
class World;

// How many SYNs are sent.
unsigned most_syns(const Endpoint& endpoint) noexcept;
// kForever: no limit.
runtime::Nanoseconds user_timeout(const Endpoint& endpoint) noexcept;

// Probes of idle connections.
class KeepAlive {
 public:
  KeepAlive(World& world, Wires& wires) noexcept : world_(world), wires_(wires) {}
  KeepAlive(const KeepAlive&) = delete;
  KeepAlive& operator=(const KeepAlive&) = delete;

  // An option has changed, or the connection is there: looks at it when it may have been idle long enough.
  void watch(Endpoint& endpoint);

 private:
  void look(Endpoint& endpoint);
  void look_at(Endpoint& endpoint, runtime::Nanoseconds time);
  void probe(Endpoint& endpoint);
  void answer_arrives(Endpoint& endpoint);

  World& world_;
  Wires& wires_;
};

}  // namespace aiofiber::testing::detail
