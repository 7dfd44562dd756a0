// SPDX-License-Identifier: Apache-2.0
//
// Datagrams between simulated machines, as UDP would behave, and between the programs of one machine.
//
// A datagram is lost, arrives twice, overtakes another, or finds no room; nobody sends it again. One of a
// Unix socket arrives at once, and waits until there is room (room.h). What cannot be delivered because
// nobody listens is told to the sender if it is connected: ECONNREFUSED. The program's end keeps what it has
// not read, in the kernel, so poll() and its like see it. The kernel does not know who sent it: these notes
// are kept beside, in the same order, and are brought up to date by the memory that the kernel counts.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "simulation/endpoint.h"
#include "simulation/room.h"

namespace aiofiber::testing::detail {

class Host;
class Wires;
class World;

class Datagrams {
 public:
  Datagrams(World& world, Wires& wires) noexcept : world_(world), wires_(wires), room_(wires) {}
  Datagrams(const Datagrams&) = delete;
  Datagrams& operator=(const Datagrams&) = delete;

  // Whether there is a datagram socket: else no call needs to look.
  bool in_use() const noexcept { return sockets_ > 0; }
  void added(Endpoint& endpoint) noexcept;
  // The room of a receive buffer when a program has set SO_RCVBUF.
  static std::size_t receive_limit(int set) noexcept;
  void removed(Endpoint& endpoint) noexcept;

  // Each is a call of the endpoint's program, on its descriptor: -1 with errno. send() may give
  // Network::kNoRoom.
  ssize_t send(Endpoint& from, int fd, const msghdr& message);
  int connect(Endpoint& endpoint, const sockaddr* address, socklen_t length);
  int shut_down(Endpoint& endpoint, int fd, int how) noexcept;
  // What a call fails with before it does anything; 0: nothing. It is told once.
  int take_error(Endpoint& endpoint, int fd) noexcept;
  // A receiving call has succeeded: writes who sent what it got.
  void write_sender(Endpoint& endpoint, int flags, sockaddr* address, socklen_t* length) noexcept;

  // Something was written past the hooked calls (splice()).
  void collect(Endpoint& endpoint);
  // Programs have run: those who wait for room in what was read may go on.
  void look_for_room() noexcept;

 private:
  struct Datagram {
    Host* from;
    Host* to;
    Address source;
    Address target;
    std::uint64_t sender;
    std::string bytes;
  };
  int target(const Endpoint& from, const msghdr& message, Address& to) const;
  int send_to(Endpoint& from, const Address& to, std::string bytes);
  void disconnect(Endpoint& endpoint) noexcept;
  int unix_target(Endpoint& from, const Address* named, Endpoint*& to);
  ssize_t wait_for_room(Endpoint& from, int fd, const Endpoint& to);
  void travel(Datagram datagram);
  void arrive(const Datagram& datagram);
  Endpoint* receiver(const Datagram& datagram) noexcept;
  enum class Delivered : std::uint8_t { kYes, kNoRoom, kGone };
  Delivered deliver(Endpoint& to, const Address& source, const std::string& bytes,
                    Endpoint* waiting_sender = nullptr);
  void refuse(const Datagram& datagram);
  void set_error(Endpoint& endpoint, int error) noexcept;
  Address last_read(Endpoint& endpoint) noexcept;
  void log(const char* what, const Datagram& datagram);

  World& world_;
  Wires& wires_;
  Room room_;  // of Unix sockets
  std::size_t sockets_ = 0;
};

}  // namespace aiofiber::testing::detail
