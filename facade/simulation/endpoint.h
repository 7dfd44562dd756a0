// SPDX-License-Identifier: Apache-2.0
//
// One socket of a simulated machine, and what it has sent.
//
// The program holds one end of a real socket pair; the simulator holds the other, the *wire*. What the
// program writes is read from the wire, travels as packets, and is written into the wire of the peer. So
// poll(), dup(), stdio and OpenSSL work on the program's end as on any socket. An endpoint is found by the
// socket's cookie, so it does not matter under which number the program knows it.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/config.h"
#include "simulation/address.h"

namespace aiofiber::testing::detail {

class Host;

struct Packet {
  enum class Kind : std::uint8_t {
    kOpen,  // the third packet of a handshake: the server's program may accept
    kData,
    kEnd,    // nothing more comes (FIN)
    kReset,  // RST
  };
  Kind kind;
  runtime::Nanoseconds due;  // when it arrives, if the link is up then
  std::string bytes = {};
};

// A datagram in the buffer of the program's end. The kernel keeps its bytes, and these notes say whose it is.
struct Received {
  Address from;
  std::size_t room = 0;      // what it takes of the receive buffer
  int memory = 0;            // what the kernel counts for it in the wire
  std::uint64_t sender = 0;  // of a Unix socket: whose room it takes
};

struct Endpoint {
  enum class Kind : std::uint8_t { kStream, kDatagram, kTimer, kRandom };
  enum class State : std::uint8_t { kNew, kListening, kConnecting, kConnected };

  std::uint64_t id = 0;  // never used again; also the order in which wires are looked at
  Host* host = nullptr;
  Kind kind = Kind::kStream;
  int family = AF_INET;
  State state = State::kNew;  // a datagram socket: kNew, or kConnected to the only one it talks to
  int wire = -1;
  int fd = -1;                // the program's end, when it was made: the number may be another file now
  std::uint64_t cookie = 0;   // of the program's end
  std::uint32_t watched = 0;  // the events that epoll watches on the wire

  bool bound = false;       // has its port or path
  bool has_own_ip = false;  // the program has chosen local.ip
  bool only_v6 = false;     // IPV6_V6ONLY
  Address local;
  Address remote;
  int error = 0;           // what SO_ERROR gives next; of a datagram socket: what its next call fails with
  std::size_t filler = 0;  // bytes in the wire that keep the program's end from being writable
  bool reads_nothing = false;                                // the program has shut down its receiving side
  bool sends_nothing = false;                                // and its sending side
  std::vector<std::pair<std::pair<int, int>, int>> options;  // of protocols that a socket pair does not have

  // ---- a listener
  std::size_t backlog_limit = 0;
  std::deque<std::uint64_t> backlog;  // connections that wait to be accepted

  // ---- a connection
  std::uint64_t peer = 0;  // may be gone
  std::deque<Packet> out;  // under way to the peer, in order
  std::size_t out_bytes = 0;
  runtime::Nanoseconds last_due = 0;
  bool out_armed = false;          // an event will deliver the first packet
  bool peer_full = false;          // the peer's buffer is full: delivery goes on when its program reads
  bool ended = false;              // the program sends nothing more
  bool heard_end = false;          // the peer sends nothing more, and the program can read so
  bool keeps_byte = false;         // the last byte in the wire is not data: see Wires::before_shutdown()
  bool close_resets = false;       // SO_LINGER with a time of 0: a close is not an end
  unsigned tries = 0;              // of the first packet
  bool held = false;               // a server's end that was not accepted: its program's end is ours, too
  runtime::Nanoseconds began = 0;  // when the first attempt to connect was made, or to send the first packet
  runtime::Nanoseconds last_heard = 0;  // when something came from the peer
  bool keeps_alive = false;             // SO_KEEPALIVE
  unsigned probes = 0;                  // that were not answered
  std::uint64_t keep_alive_arming = 0;  // the number of the look that is valid

  // ---- a datagram socket
  std::deque<Received> received;  // not read yet, in order
  std::size_t received_room = 0;  // the sum of their room
  int received_memory = 0;        // the sum of their memory
  std::size_t receive_limit = 0;  // how much room there is
  bool has_wake_up = false;       // an empty datagram that tells of an error is in the program's end

  // ---- a datagram socket of a Unix path: `peer` is the only one it talks to
  std::size_t sent_room = 0;             // of what it has sent and nobody has read
  std::size_t send_limit = 0;            // then it sends no more
  std::vector<std::uint64_t> waits_for;  // the full sockets to which its last sends failed

  // Null: the program has not set it.
  const int* stored_option(int level, int option) const noexcept {
    for (const auto& [key, value] : options) {
      if (key == std::pair(level, option)) return &value;
    }
    return nullptr;
  }
  void store_option(int level, int option, int value) {
    std::erase_if(options, [&](const auto& each) { return each.first == std::pair(level, option); });
    options.push_back({{level, option}, value});
  }
  // Not a timer or a file, to the program.
  bool is_socket() const noexcept { return kind == Kind::kStream || kind == Kind::kDatagram; }

  // ---- a timer
  struct Timer {
    bool is_wall = false;       // of CLOCK_REALTIME
    bool follows_wall = false;  // and set to one of its times
    bool cancel_on_set = false;
    bool was_set = false;                           // the wall clock, and the program has not heard of it yet
    bool is_full = false;                           // a number is in the program's end
    runtime::Nanoseconds next = runtime::kForever;  // on its clock
    runtime::Nanoseconds interval = 0;
    std::uint64_t expiries = 0;  // that were not read
    std::uint64_t arming = 0;    // the number of the event that is valid
  };
  Timer timer;

  // Whether a packet to this address of the machine may be for the socket.
  bool covers(const Ip& ip) const noexcept {
    return local.ip == ip || (local.ip.is_any() && (local.ip.is_v4() ? ip.is_v4() : !only_v6 || !ip.is_v4()));
  }
  // Whether the socket's family has packets to this address.
  bool can_reach(const Ip& ip) const noexcept { return ip.is_v4() ? !only_v6 : family == AF_INET6; }
  Ip any_ip() const noexcept { return family == AF_INET6 ? Ip() : Ip::v4(0); }
};

}  // namespace aiofiber::testing::detail
