// SPDX-License-Identifier: Apache-2.0
//
// Between libc's socket addresses and ours.
#include "simulation/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace aiofiber::testing::detail {

std::string ip_text(std::uint32_t ip) {
  char text[INET_ADDRSTRLEN] = "";
  const in_addr address{htonl(ip)};
  ::inet_ntop(AF_INET, &address, text, sizeof text);
  return text;
}

std::string Address::text() const { return is_unix ? path : ip_text(ip) + ":" + std::to_string(port); }

std::optional<Address> read_address(const sockaddr* address, socklen_t length) {
  if (address == nullptr || length < sizeof(sa_family_t)) return std::nullopt;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    return Address{.ip = ntohl(in.sin_addr.s_addr), .port = ntohs(in.sin_port)};
  }
  if (address->sa_family == AF_UNIX && length > offsetof(sockaddr_un, sun_path)) {
    const char* const path = reinterpret_cast<const char*>(address) + offsetof(sockaddr_un, sun_path);
    const std::size_t room = length - offsetof(sockaddr_un, sun_path);
    // An abstract name begins with a NUL, and has no end but the length.
    return Address{.is_unix = true, .path = std::string(path, path[0] == '\0' ? room : strnlen(path, room))};
  }
  return std::nullopt;
}

void write_address(const Address& from, sockaddr* address, socklen_t* length) noexcept {
  if (address == nullptr || length == nullptr) return;
  union {
    sockaddr_in in;
    sockaddr_un un;
  } made{};
  socklen_t whole = sizeof(sockaddr_in);
  if (from.is_unix) {
    made.un.sun_family = AF_UNIX;
    const std::size_t bytes = std::min(from.path.size(), sizeof made.un.sun_path - 1);
    std::memcpy(made.un.sun_path, from.path.data(), bytes);
    const bool has_end = bytes > 0 && from.path[0] != '\0';
    whole = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bytes + (has_end ? 1 : 0));
  } else {
    made.in.sin_family = AF_INET;
    made.in.sin_addr.s_addr = htonl(from.ip);
    made.in.sin_port = htons(from.port);
  }
  std::memcpy(address, &made, std::min(*length, whole));
  *length = whole;
}

}  // namespace aiofiber::testing::detail
