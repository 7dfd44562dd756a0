// SPDX-License-Identifier: Apache-2.0
//
// SocketAddress and Socket: where a socket is, and an open socket that is closed with its last handle.
//
// They are Python's address tuples and socket.socket, as far as asyncio shows them:
// get_extra_info("peername"), Server.sockets(), sock_recvfrom(). A Socket never blocks: its descriptor has
// O_NONBLOCK and close-on-exec. Threads: an address any; a Socket's handles belong to one thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/runtime/engine/intrusive.h"

namespace aiofiber {

// A value: the address of an IPv4, IPv6 or Unix socket, or of any other family as bytes.
class SocketAddress {
 public:
  // No address: family() is AF_UNSPEC.
  SocketAddress() noexcept = default;
  // Copies what a system call gave. ValueError: longer than sockaddr_storage.
  SocketAddress(const sockaddr* address, socklen_t length);
  // A numeric IPv4 or IPv6 address ("127.0.0.1", "::1", "fe80::1%eth0"). ValueError: not a numeric address,
  // or a port below 0 or above 65535.
  SocketAddress(const std::string& host, int port);
  // A path of the file system, or an abstract name if it begins with a NUL. ValueError: empty, too long (107
  // bytes), or a NUL elsewhere.
  static SocketAddress unix_path(std::string_view path);

  int family() const noexcept { return storage_.ss_family; }  // AF_INET, AF_INET6, AF_UNIX, ...
  // The numeric host, with %scope for IPv6; empty for other families.
  std::string host() const;
  // 0 for other families than AF_INET and AF_INET6.
  int port() const noexcept;
  // The path of a Unix socket; empty for others, and for a socket without a name.
  std::string path() const;

  // for system calls; valid as long as this object
  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const noexcept { return length_; }  // of data(), in bytes
  friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};
// `('127.0.0.1', 80)`, `('::1', 80, 0, 0)`, `'/run/x.sock'`, as in Python.
std::string repr(const SocketAddress& address);

namespace detail {
// The counted descriptor. A number of -1: closed, or given away.
struct SocketState {
  explicit SocketState(int descriptor) noexcept : fd(descriptor) {}
  ~SocketState();
  void retain() noexcept { ++references; }
  void release() noexcept {
    if (--references == 0) delete this;
  }
  std::uint32_t references = 0;
  int fd;
};
}  // namespace detail

// A shared handle, as a future is. Default-constructed: no socket.
class Socket {
 public:
  Socket() noexcept = default;
  // Takes over an open socket, and makes it non-blocking and close-on-exec. std::system_error: not possible;
  // the descriptor stays the caller's then.
  explicit Socket(int fd);
  // A new socket. std::system_error: the kernel has none.
  Socket(int family, int type, int protocol = 0);
  // Takes over an open socket that does not block already, as accept4(2) gives it. It is closed if there is
  // no memory for the handle.
  static Socket adopt(int fd);

  // False for a default-constructed, closed or detached one; fd() is -1 then.
  bool is_open() const noexcept { return state_ && state_->fd >= 0; }
  int fd() const noexcept { return state_ ? state_->fd : -1; }  // it stays the Socket's: do not close it
  // std::system_error EBADF: closed.
  SocketAddress getsockname() const;
  // An empty address if it is not connected.
  SocketAddress getpeername() const;
  // getsockname().port(): the one that the kernel chose, where 0 was asked for.
  int port() const { return getsockname().port(); }
  // AF_INET, AF_INET6, AF_UNIX, ... std::system_error EBADF: closed.
  int family() const;
  // SOCK_STREAM, SOCK_DGRAM, ... std::system_error EBADF: closed.
  int type() const;
  // std::system_error with the kernel's errno.
  void set_option(int level, int option, int value) const;
  // The value of an option that is a number. Errors as set_option().
  int get_option(int level, int option) const;
  // Closes it for all handles; a second call does nothing. Tasks of this thread's loop that wait for it get
  // std::system_error EBADF.
  void close() const noexcept;
  // Gives the descriptor away: the caller closes it. -1: there is none.
  int detach() const noexcept;
  friend bool operator==(const Socket&, const Socket&) noexcept = default;

 private:
  runtime::Ref<detail::SocketState> state_;
};

// Two connected sockets (Python's socket.socketpair()). std::system_error: the kernel has none.
std::pair<Socket, Socket> socketpair(int family = AF_UNIX, int type = SOCK_STREAM, int protocol = 0);
// `<socket fd=7, family=2, type=1, laddr=('127.0.0.1', 80), raddr=('127.0.0.1', 5000)>`, `<socket closed>`.
std::string repr(const Socket& socket);

}  // namespace aiofiber
