// SPDX-License-Identifier: Apache-2.0
//
// A blocking TCP connection to a port of 127.0.0.1, for clients that take a socket; closed at the end.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

namespace aiofiber::clients_test {

class ConnectedSocket {
 public:
  // fd() is -1 if nobody listens there.
  explicit ConnectedSocket(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd_ >= 0 && ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }
  // For a connection that exists already, such as an accepted one.
  static ConnectedSocket adopt(int fd) { return ConnectedSocket(Adopted{fd}); }
  ~ConnectedSocket() {
    if (fd_ >= 0) ::close(fd_);
  }
  ConnectedSocket(const ConnectedSocket&) = delete;
  ConnectedSocket& operator=(const ConnectedSocket&) = delete;
  int fd() const { return fd_; }
  // The descriptor is the caller's from now on.
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  struct Adopted {
    int fd;
  };
  explicit ConnectedSocket(Adopted adopted) : fd_(adopted.fd) {}

  int fd_;
};

}  // namespace aiofiber::clients_test
