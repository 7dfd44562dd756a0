// SPDX-License-Identifier: Apache-2.0
//
// Addresses of the simulated network: IPv4 or IPv6 with a port, or the path of a Unix socket on its machine.
//
// An IPv4 address is kept in its IPv6 form (::ffff:10.0.0.1), so one type serves sockets of both families.
// Knows how libc writes addresses (sockaddr). It does not know who has which address, nor whether anybody
// does: that is the sockets' business.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

namespace aiofiber::testing::detail {

class Ip {
 public:
  constexpr Ip() noexcept = default;  // ::
  constexpr Ip(std::uint64_t high, std::uint64_t low) noexcept : high_(high), low_(low) {}
  // `number` in the host's byte order.
  static constexpr Ip v4(std::uint32_t number) noexcept { return {0, kMapped << 32 | number}; }
  // Of a numeric text of either family; absent: it is none.
  static std::optional<Ip> read(const char* text) noexcept;

  constexpr bool is_v4() const noexcept { return high_ == 0 && low_ >> 32 == kMapped; }
  constexpr std::uint32_t number() const noexcept { return static_cast<std::uint32_t>(low_); }  // if is_v4()
  constexpr std::uint64_t high() const noexcept { return high_; }
  constexpr std::uint64_t low() const noexcept { return low_; }
  // 0.0.0.0 or ::, which mean any address, or this machine.
  constexpr bool is_any() const noexcept { return is_v4() ? number() == 0 : high_ == 0 && low_ == 0; }
  constexpr bool is_loopback() const noexcept {
    return is_v4() ? number() >> 24 == 127 : high_ == 0 && low_ == 1;
  }
  constexpr Ip loopback() const noexcept { return is_v4() ? v4(0x7f000001) : Ip(0, 1); }  // of its family
  constexpr bool operator==(const Ip& other) const noexcept {
    return high_ == other.high_ && low_ == other.low_;
  }
  std::string text() const;

 private:
  static constexpr std::uint64_t kMapped = 0xffff;
  std::uint64_t high_ = 0;
  std::uint64_t low_ = 0;
};

struct Address {
  bool is_unix = false;
  Ip ip = {};
  std::uint16_t port = 0;
  std::string path = {};  // of a Unix socket; empty: it has no name

  bool operator==(const Address& other) const noexcept {
    return is_unix == other.is_unix && ip == other.ip && port == other.port && path == other.path;
  }
  std::string text() const;
};

// Absent: a family that is not simulated, or too short.
std::optional<Address> read_address(const sockaddr* address, socklen_t length);
// As getsockname(2) of a socket of this family: cut to *length, which becomes the whole length.
void write_address(const Address& from, int family, sockaddr* address, socklen_t* length) noexcept;

}  // namespace aiofiber::testing::detail
