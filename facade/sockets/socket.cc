// SPDX-License-Identifier: Apache-2.0
//
// Addresses and open sockets, by the system calls of socket_syscall.h.
#include "aiofiber/socket.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "core/text.h"

namespace aiofiber {

namespace sys = runtime::sys;

namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

sockaddr_in& as_ipv4(sockaddr_storage& storage) noexcept { return reinterpret_cast<sockaddr_in&>(storage); }
sockaddr_in6& as_ipv6(sockaddr_storage& storage) noexcept { return reinterpret_cast<sockaddr_in6&>(storage); }
const sockaddr_in& as_ipv4(const sockaddr_storage& storage) noexcept {
  return reinterpret_cast<const sockaddr_in&>(storage);
}
const sockaddr_in6& as_ipv6(const sockaddr_storage& storage) noexcept {
  return reinterpret_cast<const sockaddr_in6&>(storage);
}

// The number of a network interface: its name, or digits. 0: there is none.
unsigned scope_number(const std::string& scope) noexcept {
  if (const unsigned index = ::if_nametoindex(scope.c_str()); index != 0) return index;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(scope.data(), scope.data() + scope.size(), number);
  return error == std::errc() && end == scope.data() + scope.size() ? number : 0;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*) noexcept;
// -1: the call failed.
int ask_name(NameCall call, int fd, SocketAddress& address) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (call(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return -1;
  address = SocketAddress(reinterpret_cast<const sockaddr*>(&storage),
                          length < sizeof storage ? length : static_cast<socklen_t>(sizeof storage));
  return 0;
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) : length_(length) {
  if (length > sizeof storage_)
    throw ValueError(absl::StrCat("a socket address of ", length, " bytes is longer than sockaddr_storage"));
  if (length > 0) std::memcpy(&storage_, address, length);
}

SocketAddress::SocketAddress(const std::string& host, int port) {
  if (port < 0 || port > 65535) throw ValueError(absl::StrCat("port must be 0-65535, not ", port));
  const std::size_t percent = host.find('%');
  if (::inet_pton(AF_INET, host.c_str(), &as_ipv4(storage_).sin_addr) == 1 &&
      host.find('\0') == std::string::npos) {
    storage_.ss_family = AF_INET;
    as_ipv4(storage_).sin_port = htons(static_cast<std::uint16_t>(port));
    length_ = sizeof(sockaddr_in);
  } else if (::inet_pton(AF_INET6, host.substr(0, percent).c_str(), &as_ipv6(storage_).sin6_addr) == 1 &&
             host.find('\0') == std::string::npos) {
    storage_.ss_family = AF_INET6;
    as_ipv6(storage_).sin6_port = htons(static_cast<std::uint16_t>(port));
    if (percent != std::string::npos) {
      const unsigned scope = scope_number(host.substr(percent + 1));
      if (scope == 0)
        throw ValueError(absl::StrCat("no network interface ", detail::quote(host.substr(percent + 1))));
      as_ipv6(storage_).sin6_scope_id = scope;
    }
    length_ = sizeof(sockaddr_in6);
  } else {
    throw ValueError(absl::StrCat(detail::quote(host), " is no numeric IPv4 or IPv6 address"));
  }
}

SocketAddress SocketAddress::unix_path(std::string_view path) {
  SocketAddress result;
  auto& address = reinterpret_cast<sockaddr_un&>(result.storage_);
  if (path.empty()) throw ValueError("the path of a Unix socket is empty");
  const bool abstract = path.front() == '\0';
  if (!abstract && path.find('\0') != std::string_view::npos)
    throw ValueError("the path of a Unix socket has a NUL in it");
  const std::size_t most = sizeof address.sun_path - (abstract ? 0 : 1);
  if (path.size() > most)
    throw ValueError(absl::StrCat("the path of a Unix socket has ", path.size(), " bytes, at most ", most,
                                  " are possible: use a shorter one, or a relative one"));
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  result.length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return result;
}

std::string SocketAddress::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &as_ipv4(storage_).sin_addr, text, sizeof text);
  } else if (family() == AF_INET6) {
    ::inet_ntop(AF_INET6, &as_ipv6(storage_).sin6_addr, text, sizeof text);
    if (const std::uint32_t scope = as_ipv6(storage_).sin6_scope_id; scope != 0) {
      char name[IF_NAMESIZE] = "";
      if (::if_indextoname(scope, name) != nullptr) return absl::StrCat(text, "%", name);
      return absl::StrCat(text, "%", scope);
    }
  }
  return text;
}

int SocketAddress::port() const noexcept {
  if (family() == AF_INET) return ntohs(as_ipv4(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(as_ipv6(storage_).sin6_port);
  return 0;
}

std::string SocketAddress::path() const {
  constexpr std::size_t kBefore = offsetof(sockaddr_un, sun_path);
  if (family() != AF_UNIX || length_ <= kBefore) return {};
  const char* const path = reinterpret_cast<const sockaddr_un&>(storage_).sun_path;
  const std::size_t length = std::min<std::size_t>(length_ - kBefore, sizeof sockaddr_un::sun_path);
  return path[0] == '\0' ? std::string(path, length) : std::string(path, ::strnlen(path, length));
}

bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
  return a.length_ == b.length_ && std::memcmp(&a.storage_, &b.storage_, a.length_) == 0;
}

std::string repr(const SocketAddress& address) {
  switch (address.family()) {
    case AF_UNSPEC:
      return "None";
    case AF_INET:
      return absl::StrCat("('", address.host(), "', ", address.port(), ")");
    case AF_INET6: {
      const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(*address.data());
      return absl::StrCat("('", address.host(), "', ", address.port(), ", ", ntohl(ipv6.sin6_flowinfo), ", ",
                          ipv6.sin6_scope_id, ")");
    }
    case AF_UNIX:
      return detail::quote(address.path());
    default:
      return absl::StrCat("<address of family ", address.family(), ">");
  }
}

namespace {
// Waits for the descriptor end first: without the hooks nobody else tells the reactor.
void close_descriptor(int fd) noexcept {
  runtime::fd_closing(fd);
  sys::close(fd);
}
}  // namespace

detail::SocketState::~SocketState() {
  if (fd >= 0) close_descriptor(fd);
}

Socket::Socket(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    throw_errno("cannot take over the socket");
  state_ = runtime::Ref<detail::SocketState>(new detail::SocketState(fd));
}

Socket::Socket(int family, int type, int protocol)
    : state_(new detail::SocketState(sys::socket(family, type, protocol))) {
  if (state_->fd < 0) throw_errno("cannot make a socket");
}

Socket Socket::adopt(int fd) {
  absl::Cleanup close_it = [fd] { close_descriptor(fd); };
  Socket socket;
  socket.state_ = runtime::Ref<detail::SocketState>(new detail::SocketState(fd));
  std::move(close_it).Cancel();
  return socket;
}

std::pair<Socket, Socket> socketpair(int family, int type, int protocol) {
  int fds[2];
  if (sys::socket_pair(family, type, protocol, fds) != 0) throw_errno("cannot make a pair of sockets");
  absl::Cleanup close_second = [&fds] { close_descriptor(fds[1]); };
  Socket first = Socket::adopt(fds[0]);
  std::move(close_second).Cancel();
  return {std::move(first), Socket::adopt(fds[1])};
}

std::string repr(const Socket& socket) {
  if (!socket.is_open()) return "<socket closed>";
  std::string text = absl::StrCat("<socket fd=", socket.fd());
  try {
    absl::StrAppend(&text, ", family=", socket.family(), ", type=", socket.type());
    if (const SocketAddress own = socket.getsockname(); own.size() > 0)
      absl::StrAppend(&text, ", laddr=", repr(own));
    if (const SocketAddress peer = socket.getpeername(); peer.size() > 0)
      absl::StrAppend(&text, ", raddr=", repr(peer));
  } catch (const std::system_error&) {
    // No socket, or it broke meanwhile: what is known is enough.
  }
  return text + ">";
}

SocketAddress Socket::getsockname() const {
  SocketAddress address;
  if (ask_name(sys::socket_name, fd(), address) != 0) throw_errno("getsockname");
  return address;
}

SocketAddress Socket::getpeername() const {
  SocketAddress address;
  if (ask_name(sys::peer_name, fd(), address) != 0 && errno != ENOTCONN) throw_errno("getpeername");
  return address;
}

int Socket::family() const { return get_option(SOL_SOCKET, SO_DOMAIN); }
int Socket::type() const { return get_option(SOL_SOCKET, SO_TYPE); }

void Socket::set_option(int level, int option, int value) const {
  if (sys::set_option(fd(), level, option, value) != 0) throw_errno("setsockopt");
}

int Socket::get_option(int level, int option) const {
  int value = 0;
  socklen_t length = sizeof value;
  if (sys::get_option(fd(), level, option, &value, &length) != 0) throw_errno("getsockopt");
  return value;
}

void Socket::close() const noexcept {
  if (const int fd = detach(); fd >= 0) close_descriptor(fd);
}

int Socket::detach() const noexcept { return state_ ? std::exchange(state_->fd, -1) : -1; }

}  // namespace aiofiber
