// SPDX-License-Identifier: Apache-2.0
//
// create_connection() and create_server() of the loop: connections for protocols of the program.
//
// They are for code that is written as protocols (protocols.h), for example ported from Python. New code is
// easier with streams (streams.h), which stand on these. A protocol factory is a callable that gives a
// std::shared_ptr to a new protocol. Source: loop.create_connection() and so on. Threads: the loop's.
#pragma once

#include <netdb.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/co_await.h"
#include "aiofiber/coro.h"
#include "aiofiber/protocols.h"
#include "aiofiber/resolve.h"
#include "aiofiber/server.h"
#include "aiofiber/socket.h"
#include "aiofiber/ssl.h"
#include "aiofiber/transports.h"

namespace aiofiber {

// The keyword arguments of create_connection().
struct CreateConnectionOptions {
  // Encrypts the connection (ssl.h). The name that the server's certificate must have is the host, or
  // server_hostname.
  SslContext ssl = {};
  int family = 0;  // AF_INET, AF_INET6; 0: both
  int proto = 0;   // of getaddrinfo()
  int flags = 0;   // of getaddrinfo()
  // The address from which to connect: a host and a port, which may be 0.
  std::optional<std::pair<std::string, int>> local_addr = std::nullopt;
  // RFC 8305, "Happy Eyeballs": tries the next address after this time, beside those under way. Absent: one
  // address after the other. 250 ms is what the RFC recommends.
  std::optional<Duration> happy_eyeballs_delay = std::nullopt;
  // How many addresses of the first family come before the families take turns. Absent: 1 with
  // happy_eyeballs_delay; without it the order of getaddrinfo().
  std::optional<int> interleave = std::nullopt;
  std::optional<std::string> server_hostname = std::nullopt;  // see ssl; absent: the host
  // How long the handshake, and the exchange of closing messages, may take. 60 s and 30 s if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // See ssl_handshake_timeout.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
  SslSession ssl_session = {};  // of an earlier connection to this server
};
// Without a host: with a context, server_hostname must be given; empty for a context that checks no name.
struct CreateUnixConnectionOptions {
  SslContext ssl = {};                                        // encrypts the connection
  std::optional<std::string> server_hostname = std::nullopt;  // the name that the certificate must have
  // As CreateConnectionOptions: 60 s for the handshake and 30 s for the closing messages if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // See ssl_handshake_timeout.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
  SslSession ssl_session = {};  // of an earlier connection to this server
};

// The keyword arguments of create_server().
struct CreateServerOptions {
  SslContext ssl = {};         // encrypts all connections
  int family = 0;              // AF_INET, AF_INET6; 0: both
  int flags = AI_PASSIVE;      // of getaddrinfo()
  int backlog = 100;           // clients that may wait in the kernel
  bool reuse_address = true;   // a port whose last connections linger can be listened on
  bool reuse_port = false;     // several servers of one port: the kernel spreads the clients
  bool keep_alive = false;     // SO_KEEPALIVE for the connections
  bool start_serving = true;   // false: Server::start_serving() begins to accept
  bool cleanup_socket = true;  // of a path: its file goes with the server, if it is still the same one
  std::optional<ServerGroup> group = std::nullopt;  // shares the sockets with servers of other loops
  // As CreateConnectionOptions: 60 s for the handshake and 30 s for the closing messages if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // See ssl_handshake_timeout.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
};
// The keyword arguments of create_unix_server().
struct CreateUnixServerOptions {
  SslContext ssl = {};         // encrypts all connections
  int backlog = 100;           // clients that may wait in the kernel
  bool start_serving = true;   // false: Server::start_serving() begins to accept
  bool cleanup_socket = true;  // of a path: its file goes with the server, if it is still the same one
  // Shares the socket with servers of other loops.
  std::optional<ServerGroup> group = std::nullopt;
  // As CreateConnectionOptions: 60 s for the handshake and 30 s for the closing messages if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // See ssl_handshake_timeout.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
};

namespace detail {

using AnyProtocolFactory = std::function<std::shared_ptr<BaseProtocol>()>;

template <class F>
concept ProtocolFactory = requires(F& factory) {
  std::shared_ptr<BaseProtocol>(factory());
};
template <class F>
using ProtocolOf = typename std::invoke_result_t<F&>::element_type;

Coro<Socket> connect_socket(std::string host, Service port, CreateConnectionOptions options);
Coro<Socket> connect_unix_socket(std::string path, TlsOptions tls);
// The transport of a connected socket, when connection_made() was called. std::system_error: not connected.
Coro<Transport> open_transport(Socket socket, std::shared_ptr<BaseProtocol> protocol, TlsOptions tls);

Coro<Server> listen(AnyProtocolFactory factory, std::vector<std::string> hosts, Service port,
                    CreateServerOptions options);
Coro<Server> listen_on(AnyProtocolFactory factory, Socket socket, CreateServerOptions options);
Coro<Server> listen_unix_path(AnyProtocolFactory factory, std::string path, CreateServerOptions options);

template <class F>
Coro<std::pair<Transport, std::shared_ptr<ProtocolOf<F>>>> with_protocol(const LoopCore* loop, F factory,
                                                                         Coro<Socket> connecting,
                                                                         TlsOptions tls) {
  check_same_loop(get_running_loop().core(), loop, "create_connection");
  Socket socket = co_await std::move(connecting);
  std::shared_ptr<ProtocolOf<F>> protocol = factory();
  Transport transport = co_await open_transport(std::move(socket), protocol, std::move(tls));
  co_return std::pair(std::move(transport), std::move(protocol));
}
Coro<Socket> ready(Socket socket);

}  // namespace detail

template <class F>
auto EventLoop::create_connection(F factory, std::string host, Service port) {
  return create_connection(std::move(factory), std::move(host), std::move(port), CreateConnectionOptions());
}
template <class F>
auto EventLoop::create_connection(F factory, std::string host, Service port,
                                  CreateConnectionOptions options) {
  static_assert(detail::ProtocolFactory<F>, "a protocol factory gives a std::shared_ptr to a protocol");
  detail::TlsOptions tls = detail::client_tls_options(options, host);
  return detail::with_protocol(core_.get(), std::move(factory),
                               detail::connect_socket(std::move(host), std::move(port), std::move(options)),
                               std::move(tls));
}
template <class F>
auto EventLoop::create_connection(F factory, Socket socket) {
  return create_connection(std::move(factory), std::move(socket), CreateConnectionOptions());
}
template <class F>
auto EventLoop::create_connection(F factory, Socket socket, CreateConnectionOptions options) {
  static_assert(detail::ProtocolFactory<F>, "a protocol factory gives a std::shared_ptr to a protocol");
  return detail::with_protocol(core_.get(), std::move(factory), detail::ready(std::move(socket)),
                               detail::client_tls_options(options));
}
template <class F>
auto EventLoop::create_unix_connection(F factory, std::string path) {
  return create_unix_connection(std::move(factory), std::move(path), CreateUnixConnectionOptions());
}
template <class F>
auto EventLoop::create_unix_connection(F factory, std::string path, CreateUnixConnectionOptions options) {
  static_assert(detail::ProtocolFactory<F>, "a protocol factory gives a std::shared_ptr to a protocol");
  detail::TlsOptions tls = detail::client_tls_options(options);
  return detail::with_protocol(core_.get(), std::move(factory),
                               detail::connect_unix_socket(std::move(path), tls), tls);
}

}  // namespace aiofiber
