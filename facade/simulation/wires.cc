// SPDX-License-Identifier: Apache-2.0
//
// Packets: what programs write becomes packets, packets are written to programs.
#include "simulation/wires.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "aiofiber/runtime/engine/saturating.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

using runtime::Nanoseconds;
namespace sys = runtime::sys;

namespace {
constexpr std::size_t kBufferBytes = 65536;
constexpr std::uint32_t kHears = EPOLLIN | EPOLLRDHUP;
// tcp(7): tcp_retries2, and the pauses before them.
constexpr Nanoseconds kFirstSynPause = 1'000'000'000;
constexpr unsigned kMostTries = 15;
constexpr Nanoseconds kFirstPause = 200'000'000;
constexpr Nanoseconds kLongestPause = 120'000'000'000;

Nanoseconds pause_before_try(unsigned tries) noexcept {
  return std::min(kFirstPause << std::min(tries, 20u), kLongestPause);
}
}  // namespace

Wires::Wires(World& world)
    : world_(world),
      epoll_(real::epoll_create()),
      keep_alive_(world, *this),
      buffer_(std::make_unique<char[]>(kBufferBytes)) {
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Wires::~Wires() {
  while (!endpoints_.empty()) remove(*endpoints_.begin()->second);
  sys::close(epoll_);
}

// ---- endpoints

Endpoint* Wires::make(Host& host, Endpoint::Kind kind, int family, int flags) {
  int ends[2];
  // SOCK_SEQPACKET: as datagrams, but the wire hears when the program's end is closed.
  const bool is_stream = kind == Endpoint::Kind::kStream || kind == Endpoint::Kind::kRandom;
  const int type = is_stream ? SOCK_STREAM : SOCK_SEQPACKET;
  if (sys::socket_pair(AF_UNIX, type, 0, ends) != 0) return nullptr;
  // The pair is made close-on-exec and non-blocking; the program's end is as the program asked.
  if ((flags & SOCK_NONBLOCK) == 0) real::file_control(ends[0], F_SETFL, O_RDWR);
  if ((flags & SOCK_CLOEXEC) == 0) real::file_control(ends[0], F_SETFD, 0);
  auto made = std::make_unique<Endpoint>();
  made->id = next_id_++;
  made->host = &host;
  made->kind = kind;
  made->family = family;
  made->local.is_unix = family == AF_UNIX;
  made->local.ip = made->any_ip();
  made->fd = ends[0];
  made->wire = ends[1];
  made->cookie = real::cookie(ends[0]);
  Endpoint& endpoint = *made;
  if (real::epoll_control(epoll_, EPOLL_CTL_ADD, endpoint.wire, 0, endpoint.id) != 0) {
    const int error = errno;
    sys::close(ends[0]);
    sys::close(ends[1]);
    errno = error;
    return nullptr;
  }
  if (is_unconnected(endpoint)) ++unconnected_;
  by_cookie_[endpoint.cookie] = &endpoint;
  endpoints_[endpoint.id] = std::move(made);
  if (kind == Endpoint::Kind::kDatagram) world_.datagrams().added(endpoint);
  return &endpoint;
}

bool Wires::is_unconnected(const Endpoint& endpoint) noexcept {
  return endpoint.kind == Endpoint::Kind::kStream && endpoint.wire >= 0 &&
         (endpoint.state == Endpoint::State::kNew || endpoint.state == Endpoint::State::kConnecting);
}

void Wires::became(Endpoint& endpoint, Endpoint::State state) noexcept {
  if (is_unconnected(endpoint)) --unconnected_;
  endpoint.state = state;
  if (is_unconnected(endpoint)) ++unconnected_;
}

// The caller closes it.
int Wires::detach_wire(Endpoint& endpoint) noexcept {
  if (is_unconnected(endpoint)) --unconnected_;
  return std::exchange(endpoint.wire, -1);
}

Endpoint* Wires::of_descriptor(int fd) noexcept {
  const std::uint64_t cookie = real::cookie(fd);
  const auto found = cookie != 0 ? by_cookie_.find(cookie) : by_cookie_.end();
  return found != by_cookie_.end() ? found->second : nullptr;
}

Endpoint* Wires::find(std::uint64_t id) noexcept {
  const auto found = endpoints_.find(id);
  return found != endpoints_.end() ? found->second.get() : nullptr;
}

Endpoint* Wires::listener(const Host& host, const Address& address) noexcept {
  if (address.is_unix) {
    Endpoint* const found = at_path(host, address.path);
    return found != nullptr && found->state == Endpoint::State::kListening ? found : nullptr;
  }
  for (Endpoint* const endpoint : bound_.at_port(host.index(), Endpoint::Kind::kStream, address.port)) {
    if (endpoint->state == Endpoint::State::kListening && endpoint->covers(address.ip)) return endpoint;
  }
  return nullptr;
}

bool Wires::is_taken(const Endpoint& endpoint, const Address& address) noexcept {
  if (address.is_unix) return at_path(*endpoint.host, address.path) != nullptr;
  Endpoint wanted;
  wanted.local = address;
  wanted.only_v6 = endpoint.only_v6;
  for (const Endpoint* const other : bound_.at_port(endpoint.host->index(), endpoint.kind, address.port)) {
    if (other != &endpoint && (other->covers(address.ip) || wanted.covers(other->local.ip))) return true;
  }
  return false;
}

Endpoint* Wires::at_path(const Host& host, const std::string& path) noexcept {
  return bound_.at_path(host.index(), path);
}

bool Wires::bind_to_free_port(Endpoint& endpoint) {
  constexpr int kTries = 28'000;
  for (int i = 0; i < kTries; ++i) {
    endpoint.local.port = endpoint.host->next_port();
    if (!is_taken(endpoint, endpoint.local)) {
      bind(endpoint, Address(endpoint.local));
      return true;
    }
  }
  endpoint.local.port = 0;
  return false;
}

void Wires::bind(Endpoint& endpoint, Address address) {
  endpoint.local = std::move(address);
  endpoint.bound = true;
  bound_.add(endpoint.host->index(), endpoint);
}

Host* Wires::host_at(Host& seen_by, const Ip& ip) noexcept {
  return ip.is_any() || ip.is_loopback() ? &seen_by : world_.find_host(ip);
}

void Wires::watch(Endpoint& endpoint, std::uint32_t events) noexcept {
  if (endpoint.watched == events || endpoint.wire < 0) return;
  endpoint.watched = events;
  real::epoll_control(epoll_, EPOLL_CTL_MOD, endpoint.wire, events, endpoint.id);
}

void Wires::remove(Endpoint& endpoint) noexcept {
  if (const int wire = detach_wire(endpoint); wire >= 0) sys::close(wire);
  if (endpoint.held) sys::close(endpoint.fd);
  const std::deque<std::uint64_t> backlog = std::move(endpoint.backlog);
  switch (endpoint.kind) {
    case Endpoint::Kind::kStream:
      break;
    case Endpoint::Kind::kDatagram:
      world_.datagrams().removed(endpoint);
      break;
    case Endpoint::Kind::kTimer:
      world_.timers().removed();
      break;
    case Endpoint::Kind::kRandom:
      world_.random_files().removed();
      break;
  }
  if (endpoint.bound) bound_.remove(endpoint.host->index(), endpoint);
  by_cookie_.erase(endpoint.cookie);
  endpoints_.erase(endpoint.id);
  for (const std::uint64_t id : backlog) {  // connections that nobody accepts any more
    Endpoint* const waiting = find(id);
    if (waiting == nullptr) continue;
    if (Endpoint* const peer = find(waiting->peer)) reset_later(*peer);
    remove(*waiting);
  }
}

Host& Wires::host_of_peer(const Endpoint& endpoint) {
  Host* const host = endpoint.remote.is_unix ? nullptr : host_at(*endpoint.host, endpoint.remote.ip);
  return host != nullptr ? *host : *endpoint.host;
}

void Wires::log(const char* what, const Endpoint& from, std::int64_t amount) {
  world_.trace().packet(what, from.host->name(), from.local.port, host_of_peer(from).name(), from.remote.port,
                        amount);
}
void Wires::log_answer(const char* what, const Endpoint& to) {
  world_.trace().packet(what, host_of_peer(to).name(), to.remote.port, to.host->name(), to.local.port);
}

// ---- handshakes

void Wires::begin_connect(Endpoint& client) {
  became(client, Endpoint::State::kConnecting);
  // A quarter of its buffer makes a Unix socket not writable (unix_writable() in Linux).
  int size = 0;
  socklen_t length = sizeof size;
  real::get_option(client.fd, SOL_SOCKET, SO_SNDBUF, &size, &length);
  const std::string filler(static_cast<std::size_t>(size) / 4 + 1, '\0');
  const ssize_t sent = real::send(client.fd, filler.data(), filler.size());
  client.filler = sent > 0 ? static_cast<std::size_t>(sent) : 0;
  client.began = world_.now();
  send_syn(client.id, 0);
}

void Wires::send_syn(std::uint64_t id, unsigned attempt) {
  Endpoint* const client = find(id);
  if (client == nullptr || client->state != Endpoint::State::kConnecting) return;
  const Nanoseconds end = runtime::saturating_add(client->began, user_timeout(*client));
  if (attempt >= most_syns(*client) || world_.now() >= end) {
    fail_connect(*client, ETIMEDOUT);
    return;
  }
  Host& server = host_of_peer(*client);
  if (world_.loses_packet(*client->host, server)) {
    log("syn lost", *client);
  } else {
    world_.at(world_.now() + world_.latency(*client->host, server), [this, id] { syn_arrives(id); });
  }
  const Nanoseconds next = world_.now() + std::min(kFirstSynPause << std::min(attempt, 7u), kLongestPause);
  world_.at(std::min(next, end), [this, id, attempt] { send_syn(id, attempt + 1); });
}

void Wires::syn_arrives(std::uint64_t id) {
  Endpoint* const client = find(id);
  if (client == nullptr || client->state != Endpoint::State::kConnecting) return;
  Host& server = host_of_peer(*client);
  ++packets_;
  Endpoint* const listening = listener(server, client->remote);
  const bool refused = listening == nullptr && client->peer == 0;
  if (!refused && client->peer == 0) {
    if (listening->backlog.size() >= listening->backlog_limit) {
      log("syn dropped, the backlog is full", *client);
      return;
    }
    Endpoint* const made = make(server, Endpoint::Kind::kStream, listening->family, SOCK_CLOEXEC);
    if (made == nullptr) return;  // no descriptors left: as a server without memory
    became(*made, Endpoint::State::kConnected);
    made->held = true;
    made->local = client->remote;
    made->remote = client->local;
    made->peer = client->id;
    client->peer = made->id;
    inherit(*made, *listening);
  }
  log(refused ? "syn to a closed port" : "syn", *client);
  if (world_.loses_packet(server, *client->host)) {
    log_answer("answer lost", *client);
    return;
  }
  const Nanoseconds arrives = world_.now() + world_.latency(server, *client->host);
  if (!refused) {
    world_.at(arrives, [this, id] { answer_arrives(id); });
    return;
  }
  world_.at(arrives, [this, id] {
    Endpoint* const waiting = find(id);
    if (waiting != nullptr && waiting->state == Endpoint::State::kConnecting)
      fail_connect(*waiting, ECONNREFUSED);
  });
}

void Wires::answer_arrives(std::uint64_t id) {
  Endpoint* const client = find(id);
  if (client == nullptr || client->state != Endpoint::State::kConnecting) return;
  ++packets_;
  became(*client, Endpoint::State::kConnected);
  log_answer("connected", *client);
  while (client->filler > 0) {
    const ssize_t got = real::receive(client->wire, buffer_.get(), std::min(client->filler, kBufferBytes));
    if (got <= 0) break;
    client->filler -= static_cast<std::size_t>(got);
  }
  client->last_heard = world_.now();
  keep_alive_.watch(*client);
  send(*client, Packet::Kind::kOpen);
  watch(*client, kHears);
  client->host->touch();
}

// As tcp(7): a connection begins with its listener's options.
void Wires::inherit(Endpoint& server, const Endpoint& listening) {
  server.options = listening.options;
  server.close_resets = listening.close_resets;
  server.keeps_alive = listening.keeps_alive;
  server.last_heard = world_.now();
  if (!server.keeps_alive) return;
  const int yes = 1;
  real::set_option(server.fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  keep_alive_.watch(server);
}

void Wires::fail_connect(Endpoint& client, int error) {
  log_answer(error == ECONNREFUSED ? "refused" : "no answer", client);
  became(client, Endpoint::State::kNew);
  client.error = error;
  if (Endpoint* const server = find(client.peer)) remove(*server);
  // The filler is unread: so the program's end has an error now, and is writable.
  sys::close(detach_wire(client));
  client.host->touch();
}

int Wires::connect_at_once(Endpoint& client, Endpoint& listening) {
  if (listening.backlog.size() >= listening.backlog_limit) return EAGAIN;
  Endpoint* const server = make(*client.host, Endpoint::Kind::kStream, AF_UNIX, SOCK_CLOEXEC);
  if (server == nullptr) return errno;
  became(*server, Endpoint::State::kConnected);
  became(client, Endpoint::State::kConnected);
  server->held = true;
  server->local = client.remote = listening.local;
  server->remote = client.local;
  server->peer = client.id;
  client.peer = server->id;
  watch(client, kHears);
  open_at(*server);
  return 0;
}

void Wires::begin_listening(Endpoint& endpoint, std::size_t backlog) {
  became(endpoint, Endpoint::State::kListening);
  endpoint.backlog_limit = backlog;
}

// A byte in the listener's wire for each connection makes its program's end readable.
Wires::Delivered Wires::open_at(Endpoint& server) {
  Endpoint* const listening = listener(*server.host, server.local);
  if (listening == nullptr) return Delivered::kGone;
  if (listening->backlog.size() >= listening->backlog_limit) return Delivered::kLater;
  if (real::send(listening->wire, "", 1) != 1) return Delivered::kLater;
  listening->backlog.push_back(server.id);
  watch(server, kHears);
  server.host->touch();
  return Delivered::kYes;
}

Endpoint* Wires::take_accepted(Endpoint& listening) noexcept {
  if (listening.backlog.empty()) return nullptr;
  Endpoint* const server = find(listening.backlog.front());
  listening.backlog.pop_front();
  if (server != nullptr) server->held = false;
  return server;
}

// ---- what programs write

void Wires::collect() {
  constexpr int kMost = 64;
  epoll_event events[kMost];
  int count = 0;
  do {
    count = real::epoll_look(epoll_, events, kMost);
    // In the order of their making, whatever order the kernel has.
    std::sort(events, events + std::max(count, 0),
              [](const epoll_event& a, const epoll_event& b) { return a.data.u64 < b.data.u64; });
    for (int i = 0; i < count; ++i) {
      if (Endpoint* const endpoint = find(events[i].data.u64)) hear(*endpoint, events[i].events);
    }
  } while (count == kMost);
  world_.datagrams().look_for_room();
}

void Wires::hear(Endpoint& endpoint, std::uint32_t events) {
  if (endpoint.kind != Endpoint::Kind::kStream) {
    if ((events & EPOLLIN) != 0 && endpoint.kind == Endpoint::Kind::kDatagram)
      world_.datagrams().collect(endpoint);
    if ((events & EPOLLIN) != 0 && endpoint.kind == Endpoint::Kind::kRandom) RandomFiles::collect(endpoint);
    if ((events & EPOLLHUP) != 0) remove(endpoint);
    return;
  }
  if (endpoint.state != Endpoint::State::kConnected) {
    if ((events & EPOLLHUP) == 0) return;
    if (endpoint.state == Endpoint::State::kListening) log("stops listening", endpoint);
    if (Endpoint* const server = find(endpoint.peer)) remove(*server);
    remove(endpoint);
    return;
  }
  if ((events & EPOLLOUT) != 0) {
    watch(endpoint, endpoint.watched & ~std::uint32_t{EPOLLOUT});
    Endpoint* const sender = find(endpoint.peer);
    if (sender != nullptr && sender->peer_full) {
      sender->peer_full = false;
      arm(*sender, world_.now());
    }
  }
  const bool closed = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (!closed && (events & kHears) == 0) return;
  const bool aborts = closed && endpoint.close_resets && !endpoint.sends_nothing;
  const bool goes_on = !aborts && (endpoint.ended || read_wire(endpoint, closed));
  if (!goes_on) {  // or its program closed it with unread data: TCP tells the peer by a reset
    endpoint.out.clear();
    send(endpoint, Packet::Kind::kReset);
  }
  if (!closed) return;
  if (endpoint.keeps_byte && goes_on) real::receive(endpoint.wire, buffer_.get(), 1);
  sys::close(detach_wire(endpoint));
  if (endpoint.out.empty()) remove(endpoint);
}

void Wires::before_shutdown(Endpoint& endpoint, int fd, int how) noexcept {
  if (how != SHUT_RD) {
    endpoint.sends_nothing = true;
    if (endpoint.wire >= 0 && !endpoint.keeps_byte) endpoint.keeps_byte = real::send(fd, "", 1) == 1;
  }
  if (how == SHUT_WR) return;
  endpoint.reads_nothing = true;
  // A Unix socket's peer hears of it at its next write: EPIPE. A TCP packet has no word for it.
  Endpoint* const peer = endpoint.local.is_unix ? find(endpoint.peer) : nullptr;
  if (peer != nullptr && peer->wire >= 0) real::shut_down(peer->wire, SHUT_RD);
}

std::size_t Wires::bytes_under_way(const Endpoint& endpoint) const noexcept {
  if (endpoint.state != Endpoint::State::kConnected || endpoint.wire < 0) return endpoint.out_bytes;
  const std::size_t kept = endpoint.keeps_byte ? 1 : 0;
  return endpoint.out_bytes + std::max(real::pending_bytes(endpoint.wire), kept) - kept;
}

bool Wires::take_time_out(int fd) noexcept {
  return !timed_out_.empty() && timed_out_.erase(real::cookie(fd)) > 0;
}

// False: a reset.
bool Wires::read_wire(Endpoint& endpoint, bool closed) {
  const std::size_t window = world_.link(*endpoint.host, host_of_peer(endpoint)).window;
  for (;;) {
    std::size_t most = kBufferBytes;
    if (endpoint.keeps_byte) most = std::min(most, real::unread_bytes(endpoint.wire) - 1);
    const ssize_t got = most > 0 ? real::receive(endpoint.wire, buffer_.get(), most) : 0;
    if (got > 0) {
      endpoint.host->touch();  // a program that waits until it can write may go on
      add_data(endpoint, buffer_.get(), static_cast<std::size_t>(got));
      if (closed) continue;
      if (endpoint.out_bytes >= window) {
        watch(endpoint, endpoint.watched & ~kHears);
        return true;
      }
      if (static_cast<std::size_t>(got) < kBufferBytes && !endpoint.keeps_byte) return true;
      continue;
    }
    if (got < 0 && errno == EAGAIN && !closed) return true;
    endpoint.ended = true;
    watch(endpoint, endpoint.watched & ~kHears);
    if (got < 0 && errno == ECONNRESET) return false;
    send(endpoint, Packet::Kind::kEnd);
    return true;
  }
}

void Wires::add_data(Endpoint& from, const char* bytes, std::size_t count) {
  const bool split = world_.link(*from.host, host_of_peer(from)).split;
  while (count > 0) {
    const std::size_t piece = split ? 1 + world_.chooser().choose(count) : count;
    send(from, Packet::Kind::kData, std::string(bytes, piece));
    bytes += piece;
    count -= piece;
  }
}

void Wires::send(Endpoint& from, Packet::Kind kind, std::string bytes) {
  Host& to = host_of_peer(from);
  const Nanoseconds arrives = world_.departure(*from.host, to, bytes.size()) + world_.latency(*from.host, to);
  from.last_due = std::max(from.last_due, arrives);
  from.out_bytes += bytes.size();
  from.out.push_back({kind, from.last_due, std::move(bytes)});
  if (!from.peer_full) arm(from, from.out.front().due);
}

// ---- packets arrive

void Wires::arm(Endpoint& from, Nanoseconds time) {
  if (from.out_armed) return;
  from.out_armed = true;
  world_.at(time, [this, id = from.id] { deliver(id); });
}

void Wires::deliver(std::uint64_t id) {
  Endpoint* const from = find(id);
  if (from == nullptr) return;
  from->out_armed = false;
  Host& host = host_of_peer(*from);
  while (!from->out.empty() && from->out.front().due <= world_.now()) {
    Packet& first = from->out.front();
    Endpoint* const to = find(from->peer);
    Delivered delivered = Delivered::kGone;
    if (world_.loses_packet(*from->host, host)) {
      log("lost", *from);
      // A reset is not repeated.
      delivered = first.kind == Packet::Kind::kReset ? Delivered::kYes : Delivered::kLater;
    } else if (to != nullptr && (to->wire >= 0 || first.kind == Packet::Kind::kReset)) {
      delivered = deliver_first(*from, *to);
      if (from->peer_full) return;
    } else if (first.kind == Packet::Kind::kEnd || first.kind == Packet::Kind::kReset) {
      delivered = Delivered::kYes;
    }
    if (delivered == Delivered::kGone) {
      log("to a connection that is gone", *from);
      from->out.clear();
      from->out_bytes = 0;
      reset_later(*from);
      break;
    }
    if (delivered == Delivered::kLater) {
      if (from->tries++ == 0) from->began = world_.now();
      const Nanoseconds limit = user_timeout(*from);
      const Nanoseconds end = runtime::saturating_add(from->began, limit);
      if (limit == runtime::kForever ? from->tries > kMostTries : world_.now() >= end) {
        give_up(*from);
        return;
      }
      arm(*from, std::min(world_.now() + pause_before_try(from->tries - 1), end));
      return;
    }
    from->tries = 0;
    from->last_heard = world_.now();
    if (Endpoint* const reached = find(from->peer)) reached->last_heard = world_.now();
    ++packets_;
    from->out_bytes -= first.bytes.size();
    from->out.pop_front();
  }
  if (!from->out.empty()) {
    arm(*from, from->out.front().due);
  } else if (from->wire < 0 && !from->held) {
    remove(*from);
    return;
  }
  if (!from->ended && from->state == Endpoint::State::kConnected &&
      from->out_bytes < world_.link(*from->host, host).window) {
    watch(*from, from->watched | kHears);
  }
}

Wires::Delivered Wires::deliver_first(Endpoint& from, Endpoint& to) {
  Packet& packet = from.out.front();
  switch (packet.kind) {
    case Packet::Kind::kOpen:
      return open_at(to);
    case Packet::Kind::kData: {
      const ssize_t sent = real::send(to.wire, packet.bytes.data(), packet.bytes.size());
      if (sent < 0 && errno != EAGAIN) {
        // Nobody reads it. TCP takes it all the same, as long as the program may still send.
        const bool is_swallowed = to.reads_nothing && (to.local.is_unix || !to.sends_nothing);
        if (is_swallowed) log("data that nobody reads", from, static_cast<std::int64_t>(packet.bytes.size()));
        return is_swallowed ? Delivered::kYes : Delivered::kGone;
      }
      to.host->touch();
      if (sent < static_cast<ssize_t>(packet.bytes.size())) {
        const auto taken = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
        packet.bytes.erase(0, taken);
        from.out_bytes -= taken;
        from.peer_full = true;
        watch(to, to.watched | EPOLLOUT);
        return Delivered::kLater;
      }
      log("data", from, sent);
      return Delivered::kYes;
    }
    case Packet::Kind::kEnd:
      log("end", from);
      to.heard_end = true;
      real::shut_down(to.wire, SHUT_WR);
      to.host->touch();
      return Delivered::kYes;
    case Packet::Kind::kReset:
      log("reset", from);
      reset(to);
      return Delivered::kYes;
  }
  return Delivered::kYes;
}

// ---- ends

void Wires::give_up(Endpoint& endpoint) {
  log("gives up", endpoint);
  if (endpoint.wire >= 0) timed_out_[endpoint.cookie] = endpoint.host;
  reset(endpoint);
}

void Wires::reset_later(Endpoint& endpoint) {
  Host& peer = host_of_peer(endpoint);
  if (world_.loses_packet(peer, *endpoint.host)) {
    log_answer("reset lost", endpoint);
    return;
  }
  world_.at(world_.now() + world_.latency(peer, *endpoint.host), [this, id = endpoint.id] {
    Endpoint* const told = find(id);
    if (told == nullptr) return;
    ++packets_;
    log_answer("reset", *told);
    reset(*told);
  });
}

// The program's end gets ECONNRESET if data that it wrote is unread when the wire is closed. Not if it has
// heard the peer's end: then Linux says EPIPE to a write, and nothing to a read.
void Wires::reset(Endpoint& endpoint) {
  if (endpoint.state == Endpoint::State::kConnecting) {
    fail_connect(endpoint, ECONNREFUSED);
    return;
  }
  endpoint.out.clear();
  endpoint.out_bytes = 0;
  endpoint.ended = true;
  if (endpoint.wire >= 0) {
    if (!endpoint.heard_end && real::cookie(endpoint.fd) == endpoint.cookie) real::send(endpoint.fd, "", 1);
    sys::close(detach_wire(endpoint));
  }
  endpoint.host->touch();
  if (!endpoint.held) remove(endpoint);
}

Wires::Remains Wires::cut(Host& host, bool tell_peers) {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, endpoint] : endpoints_) {
    if (endpoint->host == &host) ids.push_back(id);
  }
  std::erase_if(timed_out_, [&](const auto& entry) { return entry.second == &host; });
  Remains remains;
  for (const std::uint64_t id : ids) {
    Endpoint* const endpoint = find(id);
    if (endpoint == nullptr) continue;
    Endpoint* const peer = find(endpoint->peer);
    if (tell_peers && peer != nullptr) reset_later(*peer);
    if (!endpoint->held) {
      remains.cookies.push_back(endpoint->cookie);
      if (endpoint->wire >= 0) {
        real::epoll_control(epoll_, EPOLL_CTL_DEL, endpoint->wire, 0, 0);
        remains.wires.push_back(detach_wire(*endpoint));
      }
    }
    remove(*endpoint);
  }
  return remains;
}

}  // namespace aiofiber::testing::detail
