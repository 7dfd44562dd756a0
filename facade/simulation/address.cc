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

namespace {

Ip from_bytes(const in6_addr& address) noexcept {
  std::uint64_t halves[2] = {};
  for (std::size_t i = 0; i < sizeof address.s6_addr; ++i)
    halves[i / 8] = halves[i / 8] << 8 | address.s6_addr[i];
  return {halves[0], halves[1]};
}

in6_addr to_bytes(const Ip& ip) noexcept {
  in6_addr made{};
  for (unsigned i = 0; i < 8; ++i) {
    made.s6_addr[i] = static_cast<std::uint8_t>(ip.high() >> (56 - 8 * i));
    made.s6_addr[8 + i] = static_cast<std::uint8_t>(ip.low() >> (56 - 8 * i));
  }
  return made;
}

}  // namespace

std::optional<Ip> Ip::read(const char* text) noexcept {
  in_addr v4;
  if (::inet_pton(AF_INET, text, &v4) == 1) return Ip::v4(ntohl(v4.s_addr));
  in6_addr v6;
  if (::inet_pton(AF_INET6, text, &v6) == 1) return from_bytes(v6);
  return std::nullopt;
}

std::string Ip::text() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    const in_addr address{htonl(number())};
    ::inet_ntop(AF_INET, &address, text, sizeof text);
  } else {
    const in6_addr address = to_bytes(*this);
    ::inet_ntop(AF_INET6, &address, text, sizeof text);
  }
  return text;
}

std::string Address::text() const {
  if (is_unix) return path;
  return (ip.is_v4() ? ip.text() : "[" + ip.text() + "]") + ":" + std::to_string(port);
}

std::optional<Address> read_address(const sockaddr* address, socklen_t length) {
  if (address == nullptr || length < sizeof(sa_family_t)) return std::nullopt;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    return Address{.ip = Ip::v4(ntohl(in.sin_addr.s_addr)), .port = ntohs(in.sin_port)};
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, address, sizeof in);
    return Address{.ip = from_bytes(in.sin6_addr), .port = ntohs(in.sin6_port)};
  }
  if (address->sa_family == AF_UNIX && length > offsetof(sockaddr_un, sun_path)) {
    const char* const path = reinterpret_cast<const char*>(address) + offsetof(sockaddr_un, sun_path);
    const std::size_t room = length - offsetof(sockaddr_un, sun_path);
    // An abstract name begins with a NUL, and has no end but the length.
    return Address{.is_unix = true, .path = std::string(path, path[0] == '\0' ? room : strnlen(path, room))};
  }
  return std::nullopt;
}

void write_address(const Address& from, int family, sockaddr* address, socklen_t* length) noexcept {
  if (address == nullptr || length == nullptr) return;
  union {
    sockaddr_un un;  // the largest, so that all is zero
    sockaddr_in in;
    sockaddr_in6 in6;
  } made{};
  socklen_t whole = sizeof(sockaddr_in);
  if (from.is_unix) {
    made.un.sun_family = AF_UNIX;
    const std::size_t bytes = std::min(from.path.size(), sizeof made.un.sun_path - 1);
    std::memcpy(made.un.sun_path, from.path.data(), bytes);
    const bool has_end = bytes > 0 && from.path[0] != '\0';
    whole = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bytes + (has_end ? 1 : 0));
  } else if (family == AF_INET6) {
    made.in6.sin6_family = AF_INET6;
    made.in6.sin6_addr = to_bytes(from.ip);
    made.in6.sin6_port = htons(from.port);
    whole = sizeof(sockaddr_in6);
  } else {
    made.in.sin_family = AF_INET;
    made.in.sin_addr.s_addr = htonl(from.ip.number());
    made.in.sin_port = htons(from.port);
  }
  std::memcpy(address, &made, std::min(*length, whole));
  *length = whole;
}

}  // namespace aiofiber::testing::detail
