// SPDX-License-Identifier: Apache-2.0
//
// Common code of the echo servers and their load generator.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstddef>

namespace echo {

inline constexpr int kListener = 3;  // the descriptor that a server finds its listening socket at
inline constexpr std::size_t kBufferSize = 16 * 1024;
inline constexpr std::size_t kLargeBufferSize = 256 * 1024;  // for messages of 1 MiB

inline void set_no_delay(int socket) noexcept {
  const int one = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

inline void set_nonblocking(int socket) noexcept {
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
}

}  // namespace echo
