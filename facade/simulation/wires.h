// SPDX-License-Identifier: Apache-2.0
//
// Wires: connections between simulated machines, as TCP would behave.
//
// Here packets travel: handshakes with lost and repeated SYNs, data in order, ends, resets. A packet that
// cannot pass is sent again after 0.2 s, then after twice as long, and after 15 attempts the connection fails
// with ETIMEDOUT (tcp(7), tcp_retries2). Acknowledgements are not simulated: a sender knows at once what has
// arrived. What the calls of a program see is in socket_calls.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "simulation/bound_sockets.h"
#include "simulation/endpoint.h"
#include "simulation/tcp_limits.h"

namespace aiofiber::testing::detail {

class Host;
class World;

class Wires {
 public:
  explicit Wires(World& world);
  ~Wires();
  Wires(const Wires&) = delete;
  Wires& operator=(const Wires&) = delete;

  // A new socket of the machine. Null with errno: no descriptors left. `flags`: SOCK_NONBLOCK, SOCK_CLOEXEC.
  Endpoint* make(Host& host, Endpoint::Kind kind, int family, int flags);
  // The endpoint of a program's descriptor; null: none of ours.
  Endpoint* of_descriptor(int fd) noexcept;
  Endpoint* find(std::uint64_t id) noexcept;
  // The listener to which a connection to this address of the machine goes; null: nobody listens.
  Endpoint* listener(const Host& host, const Address& address) noexcept;
  // Whether another socket has what the socket would have at this address.
  bool is_taken(const Endpoint& endpoint, const Address& address) noexcept;
  void bind(Endpoint& endpoint, Address address);
  // Gives it a port that nobody has. False: there is none.
  bool bind_to_free_port(Endpoint& endpoint);
  // The socket of the machine with this path; null: there is none.
  Endpoint* at_path(const Host& host, const std::string& path) noexcept;
  const BoundSockets& bound_sockets() const noexcept { return bound_; }
  // Who has the address, as seen by a machine; null: nobody.
  Host* host_at(Host& seen_by, const Ip& ip) noexcept;

  // Whether there is a socket of streams that nobody has connected yet: else no call needs to look.
  bool has_unconnected() const noexcept { return unconnected_ > 0; }

  // Begins a handshake with `remote`. The program's end is not writable until it succeeds or fails.
  void begin_connect(Endpoint& client);
  // A connection on one machine, made at once. 0, or the errno.
  int connect_at_once(Endpoint& client, Endpoint& listener);
  void begin_listening(Endpoint& endpoint, std::size_t backlog);
  // The next connection of a listener, after its byte was read; null: it is gone already. Its descriptor is
  // the program's from now on.
  Endpoint* take_accepted(Endpoint& listener) noexcept;

  // The program is about to shut down a connection. After its sending side it could write no byte that a
  // reset needs later, so one is written now and stays in the wire.
  void before_shutdown(Endpoint& endpoint, int fd, int how) noexcept;
  // What the program has written into the connection and its peer's end has not got.
  std::size_t bytes_under_way(const Endpoint& endpoint) const noexcept;

  // Whether the connection of this descriptor was given up, and nobody was told yet. Only once.
  bool take_time_out(int fd) noexcept;

  template <class Fn>
  void for_each_timer(const Host& host, Fn fn) {
    for (const auto& [id, endpoint] : endpoints_) {
      if (endpoint->host == &host && endpoint->kind == Endpoint::Kind::kTimer) fn(*endpoint);
    }
  }

  // Reads what programs have written, and notices what they have closed.
  void collect();
  // The machine's programs die. `tell_peers`: by resets. The caller closes what remains.
  struct Remains {
    std::vector<std::uint64_t> cookies;  // of the programs' ends
    std::vector<int> wires;              // open, so that a destructor that writes meets no closed connection
  };
  Remains cut(Host& host, bool tell_peers);

  KeepAlive& keep_alive() noexcept { return keep_alive_; }
  Host& host_of_peer(const Endpoint& endpoint);
  // The connection ends: for its program by ETIMEDOUT, or by ECONNRESET.
  void give_up(Endpoint& endpoint);
  void reset(Endpoint& endpoint);
  // Forgets a socket whose connection has ended.
  void remove(Endpoint& endpoint) noexcept;
  std::uint64_t packets() const noexcept { return packets_; }
  void count_packet() noexcept { ++packets_; }
  void watch(Endpoint& endpoint, std::uint32_t events) noexcept;

 private:
  void hear(Endpoint& endpoint, std::uint32_t events);
  static bool is_unconnected(const Endpoint& endpoint) noexcept;
  void became(Endpoint& endpoint, Endpoint::State state) noexcept;
  int detach_wire(Endpoint& endpoint) noexcept;
  bool read_wire(Endpoint& endpoint, bool closed);
  void send_syn(std::uint64_t client, unsigned attempt);
  void syn_arrives(std::uint64_t client);
  void answer_arrives(std::uint64_t client);
  void inherit(Endpoint& server, const Endpoint& listening);
  void fail_connect(Endpoint& client, int error);
  void add_data(Endpoint& from, const char* bytes, std::size_t count);
  void send(Endpoint& from, Packet::Kind kind, std::string bytes = {});
  void arm(Endpoint& from, runtime::Nanoseconds time);
  void deliver(std::uint64_t id);
  enum class Delivered : std::uint8_t { kYes, kLater, kGone };
  Delivered deliver_first(Endpoint& from, Endpoint& to);
  Delivered open_at(Endpoint& server);
  void reset_later(Endpoint& endpoint);
  void log(const char* what, const Endpoint& from, std::int64_t amount = -1);
  void log_answer(const char* what, const Endpoint& to);

  World& world_;
  int epoll_;
  std::map<std::uint64_t, std::unique_ptr<Endpoint>> endpoints_;
  std::unordered_map<std::uint64_t, Endpoint*> by_cookie_;
  BoundSockets bound_;
  KeepAlive keep_alive_;
  std::size_t unconnected_ = 0;
  // Connections that were given up, by cookie, until the program hears of it or dies.
  std::unordered_map<std::uint64_t, const Host*> timed_out_;
  std::uint64_t next_id_ = 1;
  std::uint64_t packets_ = 0;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace aiofiber::testing::detail
