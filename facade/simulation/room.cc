// SPDX-License-Identifier: Apache-2.0
//
// Full queues, fillers and those who wait.
#include "simulation/room.h"

#include <algorithm>
#include <string>
#include <vector>

#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/wires.h"

namespace aiofiber::testing::detail {

namespace {

constexpr std::size_t kMostQueued = 10;  // Linux: net.unix.max_dgram_qlen; it takes one more

bool is_full(const Endpoint& to, const Endpoint& from) noexcept {
  const bool is_mutual = to.state == Endpoint::State::kConnected && to.peer == from.id;
  return !is_mutual && to.received.size() > kMostQueued;
}

}  // namespace

// Linux doubles what is set, and has a least and a largest one.
std::size_t Room::send_limit(int set) noexcept {
  constexpr std::size_t kLeast = 4608;
  constexpr std::size_t kMost = 425'984;  // net.core.wmem_max, doubled
  return std::clamp(2 * static_cast<std::size_t>(std::max(set, 0)), kLeast, kMost);
}

bool Room::is_for(const Endpoint& from, const Endpoint& to) const noexcept {
  return to.reads_nothing || (!is_full(to, from) && from.sent_room < from.send_limit);
}

// A waiting call goes on as soon as it can send. Otherwise as unix(7): a quarter of the send buffer, and the
// queue of the only one it talks to.
bool Room::is_writable(const Endpoint& endpoint) const noexcept {
  if (!endpoint.waits_for.empty()) {
    return std::any_of(endpoint.waits_for.begin(), endpoint.waits_for.end(), [&](std::uint64_t id) {
      const Endpoint* const to = wires_.find(id);
      return to == nullptr || is_for(endpoint, *to);
    });
  }
  if (4 * endpoint.sent_room > endpoint.send_limit) return false;
  const Endpoint* const to = wires_.find(endpoint.peer);
  return to == nullptr || to->reads_nothing || !is_full(*to, endpoint);
}

void Room::update(Endpoint& endpoint) noexcept {
  const bool writable = is_writable(endpoint);
  if (writable == (endpoint.filler == 0)) return;
  writable ? empty(endpoint) : fill(endpoint);
}

void Room::fill(Endpoint& endpoint) noexcept {
  // If the program knows it by another number, it hears of the full queue when it sends.
  if (endpoint.wire < 0 || real::cookie(endpoint.fd) != endpoint.cookie) return;
  int size = 0;
  socklen_t length = sizeof size;
  real::get_option(endpoint.fd, SOL_SOCKET, SO_SNDBUF, &size, &length);
  const std::string filler(static_cast<std::size_t>(size) / 4 + 1, '\0');
  if (real::send(endpoint.fd, filler.data(), filler.size()) <= 0) return;
  endpoint.filler = filler.size();
  filled_.insert(endpoint.id);
  wires_.watch(endpoint, 0);  // the wire stays readable
}

void Room::empty(Endpoint& endpoint) noexcept {
  if (endpoint.filler == 0) return;
  char byte;
  real::receive(endpoint.wire, &byte, 1);
  endpoint.filler = 0;
  filled_.erase(endpoint.id);
  wires_.watch(endpoint, EPOLLIN);
}

bool Room::wait_for(Endpoint& from, int fd, const Endpoint& to) {
  if (std::find(from.waits_for.begin(), from.waits_for.end(), to.id) == from.waits_for.end())
    from.waits_for.push_back(to.id);
  from.fd = fd;
  empty(from);  // its buffer may have another size now
  fill(from);
  return from.filler > 0;
}

void Room::begin_send(Endpoint& from, const Endpoint& to) noexcept {
  std::erase_if(from.waits_for, [&](std::uint64_t id) { return id == to.id || wires_.find(id) == nullptr; });
  empty(from);
}

void Room::took(Endpoint& from, Endpoint& to, Received& datagram) {
  datagram.sender = from.id;
  from.sent_room += datagram.room;
  holders_.insert(to.id);
  const auto others = connected_.find(to.id);
  if (to.received.size() <= kMostQueued || others == connected_.end()) return;
  for (const std::uint64_t id : others->second) {
    if (Endpoint* const other = wires_.find(id)) update(*other);
  }
}

void Room::gave_back(const Received& datagram) noexcept {
  if (datagram.sender == 0) return;
  changed_ = true;
  if (Endpoint* const sender = wires_.find(datagram.sender)) sender->sent_room -= datagram.room;
}

void Room::disconnected(const Endpoint& from) noexcept {
  const auto found = connected_.find(from.peer);
  if (found == connected_.end()) return;
  found->second.erase(from.id);
  if (found->second.empty()) connected_.erase(found);
}

void Room::removed(const Endpoint& endpoint) noexcept {
  changed_ = true;
  for (const Received& datagram : endpoint.received) gave_back(datagram);
  disconnected(endpoint);
  connected_.erase(endpoint.id);
  holders_.erase(endpoint.id);
  filled_.erase(endpoint.id);
}

void Room::wake() noexcept {
  if (!std::exchange(changed_, false)) return;
  std::erase_if(holders_, [&](std::uint64_t id) {
    const Endpoint* const holder = wires_.find(id);
    return holder == nullptr || holder->received.empty();
  });
  const std::vector<std::uint64_t> waiting(filled_.begin(), filled_.end());
  for (const std::uint64_t id : waiting) {
    Endpoint* const endpoint = wires_.find(id);
    if (endpoint == nullptr) continue;
    update(*endpoint);
    if (endpoint->filler == 0) endpoint->host->touch();
  }
}

}  // namespace aiofiber::testing::detail
