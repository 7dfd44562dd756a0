// SPDX-License-Identifier: Apache-2.0
//
// Limits from options, and probes.
#include "simulation/tcp_limits.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "simulation/call_results.h"
#include "simulation/host.h"
#include "simulation/refusals.h"
#include "simulation/wires.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

using runtime::Nanoseconds;

namespace {
int option(const Endpoint& endpoint, int name) noexcept { return option_value(endpoint, IPPROTO_TCP, name); }
}  // namespace

unsigned most_syns(const Endpoint& endpoint) noexcept {
  return 1 + static_cast<unsigned>(option(endpoint, TCP_SYNCNT));
}

Nanoseconds user_timeout(const Endpoint& endpoint) noexcept {
  constexpr Nanoseconds kMillisecond = 1'000'000;
  const int milliseconds = option(endpoint, TCP_USER_TIMEOUT);
  return milliseconds > 0 ? milliseconds * kMillisecond : runtime::kForever;
}

void KeepAlive::watch(Endpoint& endpoint) {
  ++endpoint.keep_alive_arming;
  endpoint.probes = 0;
  if (!endpoint.keeps_alive || endpoint.local.is_unix || endpoint.state != Endpoint::State::kConnected)
    return;
  const Nanoseconds idle = option(endpoint, TCP_KEEPIDLE) * kSecond;
  look_at(endpoint, endpoint.last_heard + idle);
}

void KeepAlive::look_at(Endpoint& endpoint, Nanoseconds time) {
  world_.at(time, [this, id = endpoint.id, arming = ++endpoint.keep_alive_arming] {
    Endpoint* const found = wires_.find(id);
    if (found != nullptr && found->keep_alive_arming == arming && found->wire >= 0) look(*found);
  });
}

// What is under way is sent again and again, and needs no probes.
void KeepAlive::look(Endpoint& endpoint) {
  const Nanoseconds idle = option(endpoint, TCP_KEEPIDLE) * kSecond;
  const Nanoseconds silence = world_.now() - endpoint.last_heard;
  if (!endpoint.out.empty()) {
    endpoint.probes = 0;
    look_at(endpoint, world_.now() + idle);
    return;
  }
  if (endpoint.probes == 0 && silence < idle) {
    look_at(endpoint, endpoint.last_heard + idle);
    return;
  }
  const Nanoseconds limit = user_timeout(endpoint);
  const bool gives_up = limit != runtime::kForever
                            ? endpoint.probes > 0 && silence >= limit
                            : endpoint.probes >= static_cast<unsigned>(option(endpoint, TCP_KEEPCNT));
  if (gives_up) {
    wires_.give_up(endpoint);
    return;
  }
  ++endpoint.probes;
  look_at(endpoint, world_.now() + option(endpoint, TCP_KEEPINTVL) * kSecond);
  probe(endpoint);
}

void KeepAlive::probe(Endpoint& endpoint) {
  const Host& own = *endpoint.host;
  const Host& peer = wires_.host_of_peer(endpoint);
  if (world_.loses_packet(own, peer) || world_.loses_packet(peer, own)) return;
  const Nanoseconds arrives = world_.now() + world_.latency(own, peer) + world_.latency(peer, own);
  world_.at(arrives, [this, id = endpoint.id] {
    Endpoint* const found = wires_.find(id);
    if (found != nullptr && found->wire >= 0) answer_arrives(*found);
  });
}

// The peer's machine knows the connection, or answers with a reset.
void KeepAlive::answer_arrives(Endpoint& endpoint) {
  if (wires_.find(endpoint.peer) == nullptr) {
    wires_.reset(endpoint);
    return;
  }
  endpoint.last_heard = world_.now();
  watch(endpoint);
}

}  // namespace aiofiber::testing::detail
