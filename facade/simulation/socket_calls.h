// SPDX-License-Identifier: Apache-2.0
//
// The socket calls of one simulated machine, as its programs see them (runtime/engine/network.h).
//
// Streams and datagrams: by IPv4 and IPv6, and by Unix sockets between the programs of one machine. A socket
// of another kind is refused with EAFNOSUPPORT or EPROTONOSUPPORT, and an address that no simulated machine
// has with ENETUNREACH: the real network is never used in silence. Flags and options that are not simulated
// are refused, too (refusals.h).
#pragma once

#include "aiofiber/runtime/engine/network.h"
#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

class Host;
class Wires;

class SocketCalls final : public runtime::Network {
 public:
  explicit SocketCalls(Host& host) noexcept : host_(host) {}

  int socket(int family, int type, int protocol) noexcept override;
  int bind(int fd, const sockaddr* address, socklen_t length) noexcept override;
  int listen(int fd, int backlog) noexcept override;
  int connect(int fd, const sockaddr* address, socklen_t length) noexcept override;
  int accept(int fd, sockaddr* address, socklen_t* length, int flags) noexcept override;
  int socket_name(int fd, sockaddr* address, socklen_t* length) noexcept override;
  int peer_name(int fd, sockaddr* address, socklen_t* length) noexcept override;
  int set_option(int fd, int level, int option, const void* value, socklen_t length) noexcept override;
  int get_option(int fd, int level, int option, void* value, socklen_t* length) noexcept override;
  int shut_down(int fd, int how) noexcept override;
  int control(int fd, unsigned long request, void* argument) noexcept override;
  int transfer_error(int fd, int error) noexcept override;
  int timer(clockid_t clock, int flags) noexcept override;
  bool has_disk() const noexcept override;
  runtime::Nanoseconds sync_length() noexcept override;
  int end_sync(int fd) noexcept override;
  std::size_t disk_room(int fd, off_t position, std::size_t bytes) noexcept override;
  void disk_takes(int fd, off_t position, std::size_t bytes) noexcept override;
  int open(const char* path, int flags) noexcept override;
  bool has_messages() const noexcept override;
  ssize_t send(int fd, const msghdr& message, int flags) noexcept override;
  bool before_receive(int fd, int flags) noexcept override;
  void after_receive(int fd, int flags, sockaddr* address, socklen_t room,
                     socklen_t* length) noexcept override;
  runtime::NameAnswer look_up(const char* name) noexcept override;
  bool is_dying() const noexcept override;

 private:
  Endpoint* find(int fd) noexcept;
  Wires& wires() noexcept;
  int connect_inet(Endpoint& endpoint, const Address& to);
  int connect_unix(Endpoint& endpoint, const Address& to);
  int refuse(const char* what, int error, const std::string& which = {});

  Host& host_;
};

}  // namespace aiofiber::testing::detail
