// SPDX-License-Identifier: Apache-2.0
//
// Connected and listening sockets, for streams and servers: what create_connection() and create_server() do
// before there is a transport.
//
// A host may have many addresses. They are tried one after the other, or overlapping ("happy eyeballs"). What
// is not used is closed, whatever happens: a call gives sockets that work, or throws and leaves no descriptor
// open. Not for users. Source: asyncio's base_events, RFC 8305.
#pragma once

#include <netdb.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"
#include "aiofiber/resolve.h"
#include "aiofiber/socket.h"

namespace aiofiber::detail {

// A host's name or number, as getaddrinfo() takes it, and a port.
struct HostPort {
  std::optional<std::string> host = std::nullopt;
  Service port = 0;
};

struct ConnectOptions {
  int family = 0;
  int proto = 0;
  int flags = 0;
  std::optional<HostPort> local_addr = std::nullopt;  // what to bind to before
  // How long an attempt has before the next one begins beside it; nullopt: until it fails. 0.25 s is usual.
  std::optional<Duration> happy_eyeballs_delay = std::nullopt;
  // Takes IPv4 and IPv6 by turns, after so many of the first family; nullopt: 1 with a delay, else 0: as
  // getaddrinfo() sorts them.
  std::optional<int> interleave = std::nullopt;
  bool all_errors = false;  // throws all errors, in an ExceptionGroup
};

// Connects to the first address of the host that answers. The socket has TCP_NODELAY. Cancellation: a
// cancellation point; open attempts are closed. Errors: gaierror; ValueError as getaddrinfo();
// std::system_error: the error of the only attempt, or of all if they are equal, else "Multiple exceptions:
// ..." with the first one's errno. Source: loop.create_connection().
Coroutine<Socket> connect_stream(std::optional<std::string> host, Service port, ConnectOptions options = {});

// The same for known addresses, at least one; `locals` null: bound to none. `options`: what is left of them.
Coro<Socket> connect_to_any(std::vector<AddressInfo> addresses,
                            std::shared_ptr<const std::vector<AddressInfo>> locals, ConnectOptions options);

// Connects to a Unix socket. ValueError: a path that cannot be one; std::system_error. Source:
// loop.create_unix_connection().
Coroutine<Socket> connect_unix(std::string path);

struct ListenOptions {
  int family = 0;
  int flags = AI_PASSIVE;
  int backlog = 100;
  bool reuse_address = true;
  bool reuse_port = false;
  bool keep_alive = false;
  bool listen = true;  // false: bound only; the server calls listen() later
};

// Sockets that listen on each address of the hosts; without hosts, or for the host "", on all interfaces. An
// address that this machine does not have is passed over. Cancellation: a cancellation point where names are
// looked up. Errors: gaierror, ValueError as getaddrinfo(); std::system_error "error while attempting to bind
// on address ..." and "could not bind on any address out of ...". Source: loop.create_server().
Coroutine<std::vector<Socket>> listen_stream(std::vector<std::string> hosts, Service port,
                                             ListenOptions options = {});
// Its two halves. The first one looks up the names; the second one does not suspend.
Coro<std::vector<AddressInfo>> addresses_to_listen_on(std::vector<std::string> hosts, Service port,
                                                      ListenOptions options);
std::vector<Socket> listen_on_addresses(const std::vector<AddressInfo>& addresses,
                                        const ListenOptions& options);

// A socket that listens at a path. A socket file that is left there is removed first; any other file is not.
// ValueError: a path that cannot be one; std::system_error EADDRINUSE "Address '/x' is already in use".
// Source: loop.create_unix_server().
Socket listen_unix(std::string_view path, int backlog = 100, bool listen = true);

// Removes a socket file that a server left behind; leaves any other file. Whether a server still uses it is
// not asked, as in asyncio. A failure is logged: bind(2) will tell.
void remove_stale_socket(const std::string& path);

// The addresses by turns of their families, beginning with `first_family_count` of the first one.
std::vector<AddressInfo> interleave_addresses(std::vector<AddressInfo> addresses, int first_family_count);

// For streams: sends small pieces at once. No error where it is no TCP socket.
void set_no_delay(const Socket& socket) noexcept;

}  // namespace aiofiber::detail
