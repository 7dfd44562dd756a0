// SPDX-License-Identifier: Apache-2.0
//
// Addresses of the simulated network: IPv4 with a port, or the path of a Unix socket on its machine.
//
// Knows how libc writes them (sockaddr). It does not know who has which address, nor whether anybody does:
// that is the sockets' business.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

namespace aiofiber::testing::detail {

struct Address {
  bool is_unix = false;
  std::uint32_t ip = 0;  // host order; 0: any
  std::uint16_t port = 0;
  std::string path = {};

  bool is_loopback() const noexcept { return ip >> 24 == 127; }
  std::string text() const;
};

// Absent: a family that is not simulated, or too short.
std::optional<Address> read_address(const sockaddr* address, socklen_t length);
// As getsockname(2): cut to *length, which becomes the whole length.
void write_address(const Address& from, sockaddr* address, socklen_t* length) noexcept;

std::string ip_text(std::uint32_t ip);

}  // namespace aiofiber::testing::detail
