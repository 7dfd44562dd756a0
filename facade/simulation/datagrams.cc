// SPDX-License-Identifier: Apache-2.0
//
// Datagrams travel, arrive, are read.
#include "simulation/datagrams.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>

#include "aiofiber/runtime/engine/syscall.h"
#include "simulation/call_results.h"
#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/wires.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

using runtime::Nanoseconds;

namespace {

constexpr std::size_t kMostBytes4 = 65'507;  // in an IPv4 packet, with its headers
constexpr std::size_t kMostBytes6 = 65'527;
constexpr std::size_t kMostBytesUnix = 212'960;  // unix(7): the default send buffer without its overhead
constexpr std::size_t kMostReceived = 212'992;   // Linux: net.core.rmem_default
constexpr std::size_t kOverhead = 768;           // what Linux counts for a small datagram
constexpr std::size_t kHeaderBytes = 28;         // on the link

// More than `most`: some number above it.
std::size_t total_bytes(const msghdr& message, std::size_t most) noexcept {
  std::size_t total = 0;
  for (std::size_t i = 0; i < message.msg_iovlen && total <= most; ++i) {
    if (message.msg_iov[i].iov_len > most) return most + 1;
    total += message.msg_iov[i].iov_len;
  }
  return total;
}

}  // namespace

// ---- sockets

// Linux doubles what is set, and has a least and a largest one.
std::size_t Datagrams::receive_limit(int set) noexcept {
  constexpr std::size_t kLeast = 2304;
  return std::clamp(2 * static_cast<std::size_t>(std::max(set, 0)), kLeast, kMostReceived);
}

// The kernel counts up to twice as much for what is in the program's end as we do.
void Datagrams::added(Endpoint& endpoint) noexcept {
  ++sockets_;
  endpoint.receive_limit = kMostReceived;
  endpoint.send_limit = kMostReceived;  // net.core.wmem_default
  const int room = 2 * static_cast<int>(kMostReceived);
  real::set_option(endpoint.wire, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  wires_.watch(endpoint, EPOLLIN);
}

void Datagrams::removed(Endpoint& endpoint) noexcept {
  --sockets_;
  if (endpoint.local.is_unix) room_.removed(endpoint);
}

void Datagrams::disconnect(Endpoint& endpoint) noexcept {
  room_.disconnected(endpoint);
  endpoint.state = Endpoint::State::kNew;
  endpoint.remote = {};
  endpoint.peer = 0;
}

int Datagrams::connect(Endpoint& endpoint, const sockaddr* address, socklen_t length) {
  if (address != nullptr && length >= sizeof(sa_family_t) && address->sa_family == AF_UNSPEC) {
    disconnect(endpoint);
    if (!endpoint.has_own_ip) endpoint.local.ip = endpoint.any_ip();
    return 0;
  }
  std::optional<Address> to = read_address(address, length);
  if (!to || to->is_unix != endpoint.local.is_unix) return fail(EAFNOSUPPORT);
  if (to->is_unix) {
    Endpoint* peer = nullptr;
    if (const int error = unix_target(endpoint, &*to, peer)) return fail(error);
    room_.disconnected(endpoint);
    room_.connected(endpoint, *peer);
    endpoint.peer = peer->id;
  } else {
    if (!endpoint.can_reach(to->ip)) return fail(endpoint.family == AF_INET ? EAFNOSUPPORT : ENETUNREACH);
    if (to->ip.is_any()) to->ip = to->ip.loopback();
    if (wires_.host_at(*endpoint.host, to->ip) == nullptr) {
      world_.trace().event("no node has the address", &endpoint.host->name(), to->text());
      return fail(ENETUNREACH);
    }
    if (endpoint.has_own_ip && endpoint.local.ip.is_v4() != to->ip.is_v4()) return fail(ENETUNREACH);
    if (!endpoint.bound && !wires_.bind_to_free_port(endpoint)) return fail(EAGAIN);
    if (!endpoint.has_own_ip)
      endpoint.local.ip = to->ip.is_loopback() ? to->ip.loopback() : endpoint.host->own_ip(to->ip);
  }
  endpoint.remote = std::move(*to);
  endpoint.state = Endpoint::State::kConnected;
  return 0;
}

// The pair is never told of the sending side: with both sides shut down, the wire would think that the
// program has closed its end.
int Datagrams::shut_down(Endpoint& endpoint, int fd, int how) noexcept {
  if (endpoint.state != Endpoint::State::kConnected && !endpoint.local.is_unix) return fail(ENOTCONN);
  if (how != SHUT_RD) endpoint.sends_nothing = true;
  if (how == SHUT_WR) return 0;
  endpoint.reads_nothing = true;
  room_.changed();  // who waits for room hears of it
  return real::shut_down(fd, SHUT_RD);
}

// ---- sending

// 0, or the errno.
int Datagrams::target(const Endpoint& from, const msghdr& message, Address& to) const {
  if (message.msg_name == nullptr) {
    if (from.state != Endpoint::State::kConnected) return from.local.is_unix ? ENOTCONN : EDESTADDRREQ;
    to = from.remote;
    return 0;
  }
  std::optional<Address> named =
      read_address(static_cast<const sockaddr*>(message.msg_name), message.msg_namelen);
  if (!named) return EINVAL;
  if (named->is_unix != from.local.is_unix) return EAFNOSUPPORT;
  if (!named->is_unix && named->port == 0) return EINVAL;
  to = std::move(*named);
  return 0;
}

// The bytes take the way through the kernel, which refuses a bad pointer.
ssize_t Datagrams::send(Endpoint& from, int fd, const msghdr& message) {
  if (const int error = take_error(from, fd)) return fail(error);
  Address to;
  if (const int error = target(from, message, to)) return fail(error);
  if (from.sends_nothing) return fail(EPIPE);
  const std::size_t most = to.is_unix ? kMostBytesUnix : to.ip.is_v4() ? kMostBytes4 : kMostBytes6;
  const std::size_t total = total_bytes(message, most);
  if (total > most) return fail(EMSGSIZE);
  Endpoint* other = nullptr;
  if (to.is_unix) {
    if (const int error = unix_target(from, message.msg_name != nullptr ? &to : nullptr, other))
      return fail(error);
    if (other->reads_nothing) return fail(EPIPE);
    if (!room_.is_for(from, *other)) return wait_for_room(from, fd, *other);
    room_.begin_send(from, *other);
  }
  msghdr plain{};
  plain.msg_iov = message.msg_iov;
  plain.msg_iovlen = message.msg_iovlen;
  collect(from);
  if (real::send_message(fd, plain) < 0) {
    const int error = errno;
    if (other != nullptr) room_.update(from);
    return fail(error);
  }
  std::string bytes(total, '\0');
  const ssize_t got = real::receive(from.wire, bytes.data(), bytes.size());
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (other == nullptr) {
    const int error = send_to(from, to, std::move(bytes));
    return error == 0 ? static_cast<ssize_t>(total) : fail(error);
  }
  switch (deliver(*other, from.local, bytes, &from)) {
    case Delivered::kYes:
      room_.update(from);
      return static_cast<ssize_t>(total);
    case Delivered::kNoRoom:  // the kernel's buffer is smaller than Linux's queue
      return wait_for_room(from, fd, *other);
    case Delivered::kGone:
      break;
  }
  return fail(ECONNREFUSED);
}

ssize_t Datagrams::wait_for_room(Endpoint& from, int fd, const Endpoint& to) {
  if (!room_.wait_for(from, fd, to)) return fail(ENOBUFS);
  errno = EAGAIN;
  return runtime::Network::kNoRoom;
}

void Datagrams::collect(Endpoint& endpoint) {
  while (endpoint.filler == 0) {
    std::string bytes(real::unread_bytes(endpoint.wire), '\0');
    const ssize_t got = real::receive(endpoint.wire, bytes.data(), bytes.size());
    if (got <= 0) return;
    bytes.resize(static_cast<std::size_t>(got));
    bool arrives = false;
    if (endpoint.state == Endpoint::State::kConnected && !endpoint.remote.is_unix) {
      arrives = send_to(endpoint, endpoint.remote, std::move(bytes)) == 0;
    } else if (Endpoint* to = nullptr; unix_target(endpoint, nullptr, to) == 0) {
      arrives = deliver(*to, endpoint.local, bytes, &endpoint) == Delivered::kYes;
    }
    if (!arrives) world_.trace().event("sends a datagram that goes nowhere", &endpoint.host->name());
  }
}

void Datagrams::look_for_room() noexcept {
  if (!room_.somebody_waits()) return;
  for (const std::uint64_t id : room_.holders()) {
    if (Endpoint* const holder = wires_.find(id)) last_read(*holder);
  }
  room_.wake();
}

int Datagrams::send_to(Endpoint& from, const Address& to, std::string bytes) {
  Host& own = *from.host;
  if (!from.can_reach(to.ip)) return from.family == AF_INET ? EAFNOSUPPORT : ENETUNREACH;
  Address target = to;
  if (target.ip.is_any()) target.ip = target.ip.loopback();
  Host* const host = wires_.host_at(own, target.ip);
  if (host == nullptr) {
    world_.trace().event("no node has the address", &own.name(), target.text());
    return ENETUNREACH;
  }
  if (!from.bound && !wires_.bind_to_free_port(from)) return EAGAIN;
  Address source = from.local;
  if (source.ip.is_any()) source.ip = target.ip.is_loopback() ? target.ip : own.own_ip(target.ip);
  if (source.ip.is_v4() != target.ip.is_v4()) return ENETUNREACH;
  travel({&own, host, std::move(source), std::move(target), from.id, std::move(bytes)});
  return 0;
}

// Who gets what a Unix socket sends: 0, or the errno. `named`: null, if the call names nobody. A socket stays
// connected to the one that it found, whoever has the path later.
int Datagrams::unix_target(Endpoint& from, const Address* named, Endpoint*& to) {
  if (named == nullptr) {
    if (from.state != Endpoint::State::kConnected) return ENOTCONN;
    to = wires_.find(from.peer);
    if (to == nullptr) {
      disconnect(from);
      return ECONNREFUSED;
    }
  } else {
    to = wires_.at_path(*from.host, named->path);
    if (to == nullptr) return ENOENT;
    if (to->kind != Endpoint::Kind::kDatagram) return EPROTOTYPE;
  }
  return to->state == Endpoint::State::kConnected && to->peer != from.id ? EPERM : 0;
}

// ---- on the way

void Datagrams::log(const char* what, const Datagram& datagram) {
  world_.trace().packet(what, datagram.from->name(), datagram.source.port, datagram.to->name(),
                        datagram.target.port, static_cast<std::int64_t>(datagram.bytes.size()));
}

void Datagrams::travel(Datagram datagram) {
  const Host& from = *datagram.from;
  const Host& to = *datagram.to;
  if (world_.is_full(from, to)) {
    log("datagram dropped, the link is full:", datagram);
    return;
  }
  const Nanoseconds leaves = world_.departure(from, to, datagram.bytes.size() + kHeaderBytes);
  const bool twice = world_.doubles_packet(from, to);
  const Nanoseconds arrives = leaves + world_.latency(from, to);
  if (twice) {
    log("datagram is doubled:", datagram);
    world_.at(leaves + world_.latency(from, to), [this, datagram] { arrive(datagram); });
  }
  world_.at(arrives, [this, datagram = std::move(datagram)] { arrive(datagram); });
}

void Datagrams::arrive(const Datagram& datagram) {
  if (world_.loses_packet(*datagram.from, *datagram.to)) {
    log("datagram lost:", datagram);
    return;
  }
  Endpoint* const to = receiver(datagram);
  const Delivered delivered =
      to != nullptr ? deliver(*to, datagram.source, datagram.bytes) : Delivered::kGone;
  switch (delivered) {
    case Delivered::kYes:
      wires_.count_packet();
      log("datagram", datagram);
      return;
    case Delivered::kNoRoom:
      log("datagram dropped, the buffer is full:", datagram);
      return;
    case Delivered::kGone:
      wires_.count_packet();
      log("datagram to a closed port:", datagram);
      refuse(datagram);
      return;
  }
}

// The socket that is bound most exactly: a connected one gets only what its peer sends.
Endpoint* Datagrams::receiver(const Datagram& datagram) noexcept {
  const auto& candidates =
      wires_.bound_sockets().at_port(datagram.to->index(), Endpoint::Kind::kDatagram, datagram.target.port);
  Endpoint* best = nullptr;
  int best_score = -1;
  for (Endpoint* const endpoint : candidates) {
    if (!endpoint->covers(datagram.target.ip)) continue;
    const bool connected = endpoint->state == Endpoint::State::kConnected;
    if (connected && !(endpoint->remote == datagram.source)) continue;
    const int score = (connected ? 2 : 0) + (endpoint->local.ip.is_any() ? 0 : 1);
    if (score <= best_score) continue;
    best = endpoint;
    best_score = score;
  }
  return best;
}

Datagrams::Delivered Datagrams::deliver(Endpoint& to, const Address& source, const std::string& bytes,
                                        Endpoint* waiting_sender) {
  if (to.reads_nothing) return Delivered::kNoRoom;  // UDP tells the sender nothing
  last_read(to);
  const std::size_t room = bytes.size() + kOverhead;
  const bool is_full = waiting_sender != nullptr ? !room_.is_for(*waiting_sender, to)
                                                 : to.received_room + room > to.receive_limit;
  if (is_full) return Delivered::kNoRoom;
  const int before = real::unread_memory(to.wire);
  if (real::send(to.wire, bytes.data(), bytes.size()) < 0)
    return errno == EPIPE ? Delivered::kGone : Delivered::kNoRoom;
  const int memory = real::unread_memory(to.wire) - before;
  to.received.push_back({source, room, memory});
  if (waiting_sender != nullptr) room_.took(*waiting_sender, to, to.received.back());
  to.received_room += room;
  to.received_memory += memory;
  to.host->touch();
  return Delivered::kYes;
}

// ICMP: port unreachable.
void Datagrams::refuse(const Datagram& datagram) {
  if (world_.loses_packet(*datagram.to, *datagram.from)) return;
  world_.at(world_.now() + world_.latency(*datagram.to, *datagram.from), [this, id = datagram.sender,
                                                                          target = datagram.target] {
    Endpoint* const sender = wires_.find(id);
    if (sender == nullptr || sender->state != Endpoint::State::kConnected || !(sender->remote == target))
      return;
    set_error(*sender, ECONNREFUSED);
  });
}

// ---- receiving

// The program must wake up to hear of it. If it has nothing to read, an empty datagram wakes it, which
// take_error() takes away again.
void Datagrams::set_error(Endpoint& endpoint, int error) noexcept {
  if (endpoint.error != 0) return;
  endpoint.error = error;
  last_read(endpoint);
  if (endpoint.received.empty()) endpoint.has_wake_up = real::send(endpoint.wire, "", 0) == 0;
  endpoint.host->touch();
}

int Datagrams::take_error(Endpoint& endpoint, int fd) noexcept {
  const int error = std::exchange(endpoint.error, 0);
  char byte;
  if (error != 0 && std::exchange(endpoint.has_wake_up, false)) real::receive(fd, &byte, 1);
  return error;
}

// Forgets what the program has read; the sender of the last of these.
Address Datagrams::last_read(Endpoint& endpoint) noexcept {
  Address last;
  if (endpoint.received.empty()) return last;
  const int memory = real::unread_memory(endpoint.wire);
  while (!endpoint.received.empty() && endpoint.received_memory > memory) {
    endpoint.received_memory -= endpoint.received.front().memory;
    endpoint.received_room -= endpoint.received.front().room;
    room_.gave_back(endpoint.received.front());
    last = std::move(endpoint.received.front().from);
    endpoint.received.pop_front();
  }
  return last;
}

void Datagrams::write_sender(Endpoint& endpoint, int flags, sockaddr* address, socklen_t* length) noexcept {
  if (address == nullptr || length == nullptr) return;
  Address from = last_read(endpoint);
  if ((flags & MSG_PEEK) != 0 && !endpoint.received.empty()) from = endpoint.received.front().from;
  write_address(from, endpoint.family, address, length);
}

}  // namespace aiofiber::testing::detail
