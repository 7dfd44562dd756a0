// SPDX-License-Identifier: Apache-2.0
//
// From sockets that are connected or listen, to transports and servers.
#include "aiofiber/endpoints.h"

#include <absl/strings/str_cat.h>

#include <cerrno>
#include <system_error>

#include "aiofiber/connect.h"
#include "aiofiber/event_loop.h"
#include "streams/server_group.h"
#include "streams/socket_file.h"
#include "streams/socket_transport.h"
#include "streams/tls_factory.h"

namespace aiofiber {

namespace detail {

using runtime::Ref;

namespace {

ListenOptions listen_options(const CreateServerOptions& options) {
  return {.family = options.family,
          .flags = options.flags,
          .backlog = options.backlog,
          .reuse_address = options.reuse_address,
          .reuse_port = options.reuse_port,
          .keep_alive = options.keep_alive,
          .listen = false};  // the server does
}

// Before anything is bound: a path would stay behind.
void check_options(const CreateServerOptions& options) {
  static_cast<void>(tls_setup(server_tls_options(options), true));
  if (options.backlog <= 0)
    throw ValueError(absl::StrCat("backlog must be at least 1, not ", options.backlog));
}

// A server on the sockets that `make` gives, or on those of its group.
Server serve(AnyProtocolFactory factory, const std::function<ListeningSockets()>& make,
             const CreateServerOptions& options) {
  LoopCore& loop = get_running_loop().core();
  ServerSetup setup{.listening = {},
                    .protocol_factory = std::move(factory),
                    .backlog = options.backlog,
                    .start_serving = options.start_serving,
                    .tls = server_tls_options(options)};
  if (options.group) {
    setup.seat = options.group->state()->take_seat(loop, make, setup.listening);
  } else {
    setup.listening = make();
  }
  return make_server(loop, std::move(setup));
}

ListeningSockets only(Socket socket) {
  ListeningSockets listening;
  listening.sockets.push_back(std::move(socket));
  return listening;
}
ListeningSockets at_path(const std::string& path, const CreateServerOptions& options) {
  ListeningSockets listening = only(listen_unix(path, options.backlog, false));
  if (options.cleanup_socket) listening.file = SocketFile::of(path);
  return listening;
}

}  // namespace

Coro<Socket> connect_socket(std::string host, Service port, CreateConnectionOptions options) {
  // A bad option is an error before the connection.
  static_cast<void>(tls_setup(client_tls_options(options, host), false));
  ConnectOptions how{.family = options.family,
                     .proto = options.proto,
                     .flags = options.flags,
                     .happy_eyeballs_delay = options.happy_eyeballs_delay,
                     .interleave = options.interleave};
  if (options.local_addr) how.local_addr = {options.local_addr->first, options.local_addr->second};
  co_return co_await connect_stream(std::move(host), std::move(port), std::move(how));
}

Coro<Socket> ready(Socket socket) { co_return std::move(socket); }

Coro<Socket> connect_unix_socket(std::string path, TlsOptions tls) {
  static_cast<void>(tls_setup(tls, false));
  co_return co_await connect_unix(std::move(path));
}

Coro<Transport> open_transport(Socket socket, std::shared_ptr<BaseProtocol> protocol, TlsOptions tls) {
  if (!socket.is_open()) throw ValueError("the socket is closed");
  if (socket.type() != SOCK_STREAM) throw ValueError("A Stream Socket was expected, got " + repr(socket));
  if (socket.getpeername().family() == AF_UNSPEC)
    throw std::system_error(ENOTCONN, std::generic_category(), "the socket must be connected");
  std::optional<TlsSetup> setup = tls_setup(tls, false);
  EventLoop& loop = get_running_loop();
  Future<void> made = loop.create_future<void>();
  Ref<TransportState> transport;
  Ref<SocketTransport> wire;
  if (setup) {
    TlsConnection connection =
        tls.ssl.factory()->wrap(tls.ssl, loop.core(), std::move(protocol), std::move(*setup), made);
    transport = std::move(connection.transport);
    wire = SocketTransport::open(loop.core(), std::move(socket), std::move(connection.wire));
  } else {
    wire = SocketTransport::open(loop.core(), std::move(socket), std::move(protocol), nullptr, made);
    transport = wire;
  }
  try {
    co_await made;
  } catch (...) {
    wire->abort();
    throw;
  }
  co_return Transport(transport);
}

Coro<Server> listen(AnyProtocolFactory factory, std::vector<std::string> hosts, Service port,
                    CreateServerOptions options) {
  check_options(options);
  const ListenOptions how = listen_options(options);
  const std::vector<AddressInfo> addresses =
      co_await addresses_to_listen_on(std::move(hosts), std::move(port), how);
  co_return serve(
      std::move(factory), [&] { return ListeningSockets{listen_on_addresses(addresses, how)}; }, options);
}

Coro<Server> listen_on(AnyProtocolFactory factory, Socket socket, CreateServerOptions options) {
  check_options(options);
  if (!socket.is_open()) throw ValueError("the socket is closed");
  if (socket.type() != SOCK_STREAM) throw ValueError("A Stream Socket was expected, got " + repr(socket));
  co_return serve(
      std::move(factory), [&] { return only(std::move(socket)); }, options);
}

Coro<Server> listen_unix_path(AnyProtocolFactory factory, std::string path, CreateServerOptions options) {
  check_options(options);
  co_return serve(
      std::move(factory), [&] { return at_path(path, options); }, options);
}

namespace {

// Only in a task of the loop whose member was called.
Coro<Server> of_loop(const LoopCore* asked, const char* function, Coro<Server> making) {
  check_same_loop(get_running_loop().core(), asked, function);
  co_return co_await std::move(making);
}

}  // namespace

}  // namespace detail

Coro<Server> EventLoop::create_server(std::function<std::shared_ptr<BaseProtocol>()> factory,
                                      std::string host, Service port) {
  return create_server(std::move(factory), std::move(host), std::move(port), CreateServerOptions());
}
Coro<Server> EventLoop::create_server(std::function<std::shared_ptr<BaseProtocol>()> factory,
                                      std::string host, Service port, CreateServerOptions options) {
  std::vector<std::string> hosts;
  if (!host.empty()) hosts.push_back(std::move(host));
  return detail::of_loop(&core(), "create_server",
                         detail::listen(std::move(factory), std::move(hosts), std::move(port), options));
}
Coro<Server> EventLoop::create_server(std::function<std::shared_ptr<BaseProtocol>()> factory, Socket socket) {
  return detail::of_loop(&core(), "create_server",
                         detail::listen_on(std::move(factory), std::move(socket), CreateServerOptions()));
}
Coro<Server> EventLoop::create_unix_server(std::function<std::shared_ptr<BaseProtocol>()> factory,
                                           std::string path) {
  return create_unix_server(std::move(factory), std::move(path), CreateUnixServerOptions());
}
Coro<Server> EventLoop::create_unix_server(std::function<std::shared_ptr<BaseProtocol>()> factory,
                                           std::string path, CreateUnixServerOptions options) {
  CreateServerOptions all{.ssl = std::move(options.ssl),
                          .backlog = options.backlog,
                          .start_serving = options.start_serving,
                          .cleanup_socket = options.cleanup_socket,
                          .group = std::move(options.group),
                          .ssl_handshake_timeout = options.ssl_handshake_timeout,
                          .ssl_shutdown_timeout = options.ssl_shutdown_timeout};
  return detail::of_loop(&core(), "create_unix_server",
                         detail::listen_unix_path(std::move(factory), std::move(path), std::move(all)));
}

}  // namespace aiofiber
