// SPDX-License-Identifier: Apache-2.0
//
// Room for the datagrams of Unix sockets: who may send, and who waits.
//
// As on Linux, none is lost. A socket whose queue is full takes no more, except from the socket that it is
// connected to; and a sender of which too much is unread sends no more. Then a blocking call waits, another
// fails with EAGAIN, and poll() tells when there is room: the program's end is kept from being writable by a
// filler in the wire. Programs read past the simulator, so it looks for room after they have run.
//
// Differs from Linux in one thing: after an EAGAIN an unconnected socket is not writable either. There it is,
// and a program that polls and tries again would spin; here it would do so for ever, because code takes no
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

class Wires;

class Room {
 public:
  explicit Room(Wires& wires) noexcept : wires_(wires) {}
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  // What a socket may have unread when its program has set SO_SNDBUF.
  static std::size_t send_limit(int set) noexcept;

  bool is_for(const Endpoint& from, const Endpoint& to) const noexcept;
  // A call of the program on this descriptor has found no room. False: its end could not be filled, so the
  // call must not wait.
  bool wait_for(Endpoint& from, int fd, const Endpoint& to);
  // The program's end takes a message now: nothing else is in the wire. Call update() when it is read.
  void begin_send(Endpoint& from, const Endpoint& to) noexcept;
  // A datagram is in the buffer of `to`.
  void took(Endpoint& from, Endpoint& to, Received& datagram);
  // It is not any more: it was read, or its socket is gone.
  void gave_back(const Received& datagram) noexcept;
  // Somebody who waits may go on for another reason.
  void changed() noexcept { changed_ = true; }
  void connected(const Endpoint& from, const Endpoint& to) { connected_[to.id].insert(from.id); }
  void disconnected(const Endpoint& from) noexcept;
  void removed(const Endpoint& endpoint) noexcept;

  // Fills or empties the program's end.
  void update(Endpoint& endpoint) noexcept;
  // Sockets with unread datagrams. Of interest only if somebody waits.
  const std::set<std::uint64_t>& holders() const noexcept { return holders_; }
  bool somebody_waits() const noexcept { return !filled_.empty(); }
  // After a look at what was read: who waited may go on.
  void wake() noexcept;

 private:
  bool is_writable(const Endpoint& endpoint) const noexcept;
  void fill(Endpoint& endpoint) noexcept;
  void empty(Endpoint& endpoint) noexcept;

  Wires& wires_;
  std::map<std::uint64_t, std::set<std::uint64_t>> connected_;  // to whom: who
  std::set<std::uint64_t> holders_;
  std::set<std::uint64_t> filled_;  // whose end has a filler
  bool changed_ = false;
};

}  // namespace aiofiber::testing::detail
