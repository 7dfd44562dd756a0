// SPDX-License-Identifier: Apache-2.0
//
// open_connection() and start_server(): connections as a StreamReader and a StreamWriter.
//
// Source: asyncio's "Streams". The functions of the loop that they stand on, with protocols, are in
// endpoints.h. Threads: the loop's.
//
//     auto echo = [](asyncio::StreamReader reader, asyncio::StreamWriter writer) {
//       for (const std::string& line : reader) writer.write(line);
//       writer.close();
//     };
//     asyncio::Server server = asyncio::await(asyncio::start_server(echo, "127.0.0.1", 0));
//     const int port = server.sockets().at(0).port();
//     auto [reader, writer] = asyncio::await(asyncio::open_connection("127.0.0.1", port));
//     writer.write("hello\n");
//     assert(asyncio::await(reader.readline()) == "hello\n");
//
// Wrong: write() in a loop without drain(), which keeps everything in memory while the other side does
// not read.
#pragma once

#include <netdb.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/co_await.h"
#include "aiofiber/coro.h"
#include "aiofiber/endpoints.h"
#include "aiofiber/socket.h"
#include "aiofiber/ssl.h"
#include "aiofiber/stream_reader.h"
#include "aiofiber/stream_writer.h"
#include "aiofiber/task.h"

namespace aiofiber {

// As CreateConnectionOptions and CreateServerOptions (endpoints.h), and `limit`: the bytes that readline()
// and readuntil() look through. Twice as many may wait in the reader.
struct OpenConnectionOptions {
  SslContext ssl = {};                                                   // encrypts the connection
  std::size_t limit = kDefaultStreamLimit;                               // bytes; see above
  int family = 0;                                                        // AF_INET, AF_INET6; 0: both
  int proto = 0;                                                         // of getaddrinfo()
  int flags = 0;                                                         // of getaddrinfo()
  std::optional<std::pair<std::string, int>> local_addr = std::nullopt;  // the address from which to connect
  // Tries the next address after this time, beside those under way. Absent: one after the other.
  std::optional<Duration> happy_eyeballs_delay = std::nullopt;
  // How many addresses of the first family come before the families take turns.
  std::optional<int> interleave = std::nullopt;
  // The name that the certificate must have. Absent: the host.
  std::optional<std::string> server_hostname = std::nullopt;
  // 60 s if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // For the closing messages: 30 s if absent.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
  SslSession ssl_session = {};  // of an earlier connection to this server
};
// The keyword arguments of start_server().
struct StartServerOptions {
  SslContext ssl = {};                      // encrypts all connections
  std::size_t limit = kDefaultStreamLimit;  // bytes, of each reader
  int family = 0;                           // AF_INET, AF_INET6; 0: both
  int flags = AI_PASSIVE;                   // of getaddrinfo()
  int backlog = 100;                        // clients that may wait in the kernel
  bool reuse_address = true;                // a port whose last connections linger can be listened on
  bool reuse_port = false;                  // several servers of one port: the kernel spreads the clients
  bool keep_alive = false;                  // SO_KEEPALIVE for the connections
  bool start_serving = true;                // false: Server::start_serving() begins to accept
  bool cleanup_socket = true;               // of a path: its file goes with the server
  // Shares the sockets with servers of other loops.
  std::optional<ServerGroup> group = std::nullopt;
  // 60 s if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // For the closing messages: 30 s if absent.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
};
// With a context, server_hostname must be given: empty for a context that checks no name.
struct StreamOptions {
  SslContext ssl = {};                      // encrypts the connection
  std::size_t limit = kDefaultStreamLimit;  // bytes, of the reader
  // The name that the certificate must have.
  std::optional<std::string> server_hostname = std::nullopt;
  // 60 s if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // For the closing messages: 30 s if absent.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
  SslSession ssl_session = {};  // of an earlier connection to this server
};

// Connects to a host. A host name is resolved, and its addresses are tried in turn.
// Cancellation: a cancellation point; an attempt under way is given up. Errors: gaierror; std::system_error:
// no address could be connected to, or ECONNABORTED: the TLS handshake took too long; SSLError: TLS failed;
// SSLCertVerificationError: the server's certificate is not good; ValueError: port, limit, options of TLS
// without a context.
Coro<std::pair<StreamReader, StreamWriter>> open_connection(std::string host, Service port,
                                                            OpenConnectionOptions options = {});
// Connects to a Unix socket. A path that begins with a NUL is an abstract name.
Coro<std::pair<StreamReader, StreamWriter>> open_unix_connection(std::string path,
                                                                 StreamOptions options = {});
// Takes over a socket that is connected. std::system_error: it is not.
Coro<std::pair<StreamReader, StreamWriter>> open_connection(Socket socket, StreamOptions options = {});

namespace detail {

// The client function of a server, for one connection: makes the task.
using ClientConnected = std::function<void(StreamReader, StreamWriter)>;

template <class F>
concept ClientFunction = std::is_invocable_v < std::decay_t<F>
&, StreamReader, StreamWriter > ;

// Watches the task of a connection: its error goes to the exception handler, and closes the connection.
void watch_client(const AnyTask& task, StreamWriter writer);

template <class F>
ClientConnected client_connected(F fn) {
  // Shared: the tasks of the connections outlive the server.
  return [function = std::make_shared<F>(std::move(fn))](StreamReader reader, StreamWriter writer) {
    auto task = get_running_loop().create_task(
        [function](StreamReader its_reader, StreamWriter its_writer) {
          return std::invoke(*function, std::move(its_reader), std::move(its_writer));
        },
        std::move(reader), writer);
    watch_client(task, std::move(writer));
  };
}

Coro<Server> start_stream_server(ClientConnected connected, std::vector<std::string> hosts, Service port,
                                 StartServerOptions options);
Coro<Server> start_unix_stream_server(ClientConnected connected, std::string path,
                                      StartServerOptions options);
Coro<Server> start_stream_server_on(ClientConnected connected, Socket socket, StartServerOptions options);

}  // namespace detail

// Calls `fn(StreamReader, StreamWriter)` in a task of its own for each client; it may be a coroutine. An
// empty host: all interfaces. Port 0: the kernel chooses one (server.sockets().at(0).port()). An exception of
// fn is reported to the loop's exception handler. The connection stays open until fn closes its writer, or
// drops it. Errors: std::system_error: an address cannot be listened on; gaierror; ValueError.
template <detail::ClientFunction F>
Coro<Server> start_server(F fn, std::string host, Service port, StartServerOptions options = {}) {
  std::vector<std::string> hosts;
  if (!host.empty()) hosts.push_back(std::move(host));
  return detail::start_stream_server(detail::client_connected(std::move(fn)), std::move(hosts),
                                     std::move(port), std::move(options));
}
// The same on several hosts.
template <detail::ClientFunction F>
Coro<Server> start_server(F fn, std::vector<std::string> hosts, Service port,
                          StartServerOptions options = {}) {
  return detail::start_stream_server(detail::client_connected(std::move(fn)), std::move(hosts),
                                     std::move(port), std::move(options));
}
// The same on a socket that is bound.
template <detail::ClientFunction F>
Coro<Server> start_server(F fn, Socket socket, StartServerOptions options = {}) {
  return detail::start_stream_server_on(detail::client_connected(std::move(fn)), std::move(socket),
                                        std::move(options));
}
// The same on a Unix socket. A socket file that is left there is replaced. The file goes when the server (or
// the last one of its group) closes, unless it is another one by then, or cleanup_socket is false.
template <detail::ClientFunction F>
Coro<Server> start_unix_server(F fn, std::string path, StartServerOptions options = {}) {
  return detail::start_unix_stream_server(detail::client_connected(std::move(fn)), std::move(path),
                                          std::move(options));
}

}  // namespace aiofiber
