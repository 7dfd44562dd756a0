// SPDX-License-Identifier: Apache-2.0
//
// Small blocking programs of datagrams, for tests of simulations. They report failures as a text, so that a
// test can compare what came with what should have come.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "facade/simulation/blocking_code.h"

namespace aiofiber::testing::test {

inline sockaddr_in inet(const char* address, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  ::inet_pton(AF_INET, address, &made.sin_addr);
  return made;
}
template <class T>
const sockaddr* generic(const T& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}
inline std::string text(const sockaddr_in& address) {
  char host[64] = "";
  ::inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
  return std::string(host) + ":" + std::to_string(ntohs(address.sin_port));
}

// At this port of its machine; 0: at any.
inline Fd udp(std::uint16_t port = 0, int flags = 0) {
  Fd made(::socket(AF_INET, SOCK_DGRAM | flags, 0));
  const sockaddr_in own = inet("0.0.0.0", port);
  return ::bind(made.get(), generic(own), sizeof own) == 0 ? std::move(made) : Fd(-1);
}
inline Fd connected_udp(const char* address, std::uint16_t port) {
  Fd made(::socket(AF_INET, SOCK_DGRAM, 0));
  const sockaddr_in to = inet(address, port);
  return ::connect(made.get(), generic(to), sizeof to) == 0 ? std::move(made) : Fd(-1);
}
inline ssize_t send_to(const Fd& fd, const std::string& bytes, const char* address, std::uint16_t port) {
  const sockaddr_in to = inet(address, port);
  return ::sendto(fd.get(), bytes.data(), bytes.size(), 0, generic(to), sizeof to);
}
// What came, or "error 11" and so on.
inline std::string receive(const Fd& fd, int flags = 0, sockaddr_in* from = nullptr) {
  char buffer[70'000];
  socklen_t length = sizeof *from;
  const ssize_t count = ::recvfrom(fd.get(), buffer, sizeof buffer, flags, reinterpret_cast<sockaddr*>(from),
                                   from != nullptr ? &length : nullptr);
  return count >= 0 ? std::string(buffer, static_cast<std::size_t>(count)) : "error " + std::to_string(errno);
}
inline std::string error_text(int error) { return "error " + std::to_string(error); }

// The address of a Unix path.
inline sockaddr_un at_path(const char* path) {
  sockaddr_un made{};
  made.sun_family = AF_UNIX;
  std::strncpy(made.sun_path, path, sizeof made.sun_path - 1);
  return made;
}
// A socket of Unix datagrams at this path; "": without a name.
inline Fd unix_datagrams(const char* path = "", int flags = 0) {
  Fd made(::socket(AF_UNIX, SOCK_DGRAM | flags, 0));
  const sockaddr_un own = at_path(path);
  if (*path != 0 && ::bind(made.get(), generic(own), sizeof own) != 0) return Fd(-1);
  return made;
}
inline bool connect_to_path(const Fd& fd, const char* path) {
  const sockaddr_un to = at_path(path);
  return ::connect(fd.get(), generic(to), sizeof to) == 0;
}

}  // namespace aiofiber::testing::test
