// SPDX-License-Identifier: Apache-2.0
//
// Readers and writers on sockets: of a client's connection, and of each connection of a server.
#include "aiofiber/streams.h"

#include "aiofiber/event_loop.h"
#include "aiofiber/exception_context.h"
#include "streams/socket_transport.h"
#include "streams/stream_protocol.h"
#include "streams/tls_factory.h"

namespace aiofiber {

using detail::StreamProtocol;
using detail::StreamReaderState;
using detail::StreamWriterState;
using runtime::Ref;

namespace {

using Streams = std::pair<StreamReader, StreamWriter>;

// The streams of a connected socket, when its transport has begun.
Coro<Streams> open_streams(Socket socket, std::size_t limit, detail::TlsOptions tls) {
  Ref<StreamReaderState> reader(new StreamReaderState(limit));
  auto protocol = std::make_shared<StreamProtocol>(reader, nullptr);
  const Transport transport = co_await detail::open_transport(std::move(socket), protocol, std::move(tls));
  Ref<StreamWriterState> writer;
  try {
    writer = Ref<StreamWriterState>(
        new StreamWriterState(get_running_loop().core(), transport, std::move(protocol)));
  } catch (...) {
    transport.abort();  // the loop keeps an open transport, and nobody else would end this one
    throw;
  }
  co_return Streams(StreamReader(std::move(reader)), StreamWriter(std::move(writer)));
}

// The protocol of each connection of a server calls the server's function when the connection is there.
detail::AnyProtocolFactory protocols_of(detail::ClientConnected connected, std::size_t limit) {
  static_cast<void>(StreamReader(limit));  // a bad limit is an error now, not with the first client
  detail::LoopCore& loop = get_running_loop().core();
  auto call = std::make_shared<detail::ClientConnected>(std::move(connected));
  return [&loop, call = std::move(call), limit] {
    Ref<StreamReaderState> reader(new StreamReaderState(limit));
    return std::make_shared<StreamProtocol>(
        std::move(reader), [&loop, call](StreamProtocol& protocol, Transport transport) {
          Ref<StreamWriterState> writer(
              new StreamWriterState(loop, std::move(transport), protocol.shared_from_this()));
          (*call)(StreamReader(protocol.reader()), StreamWriter(std::move(writer)));
        });
  };
}

CreateServerOptions server_options(const StartServerOptions& options) {
  return {.ssl = options.ssl,
          .family = options.family,
          .flags = options.flags,
          .backlog = options.backlog,
          .reuse_address = options.reuse_address,
          .reuse_port = options.reuse_port,
          .keep_alive = options.keep_alive,
          .start_serving = options.start_serving,
          .cleanup_socket = options.cleanup_socket,
          .group = options.group,
          .ssl_handshake_timeout = options.ssl_handshake_timeout,
          .ssl_shutdown_timeout = options.ssl_shutdown_timeout};
}

}  // namespace

Coro<Streams> open_connection(std::string host, Service port, OpenConnectionOptions options) {
  static_cast<void>(StreamReader(options.limit));  // a bad limit is an error before the connection
  detail::TlsOptions tls = detail::client_tls_options(options, host);
  // A name of its own: g++ 12 destroys a temporary with braces twice in an expression with co_await.
  CreateConnectionOptions how{.ssl = options.ssl,
                              .family = options.family,
                              .proto = options.proto,
                              .flags = options.flags,
                              .local_addr = options.local_addr,
                              .happy_eyeballs_delay = options.happy_eyeballs_delay,
                              .interleave = options.interleave,
                              .server_hostname = options.server_hostname,
                              .ssl_handshake_timeout = options.ssl_handshake_timeout,
                              .ssl_shutdown_timeout = options.ssl_shutdown_timeout,
                              .ssl_session = options.ssl_session};
  Socket socket = co_await detail::connect_socket(std::move(host), std::move(port), std::move(how));
  co_return co_await open_streams(std::move(socket), options.limit, std::move(tls));
}

Coro<Streams> open_unix_connection(std::string path, StreamOptions options) {
  detail::TlsOptions tls = detail::client_tls_options(options);
  static_cast<void>(StreamReader(options.limit));  // a bad limit is an error before the connection
  Socket socket = co_await detail::connect_unix_socket(std::move(path), tls);
  co_return co_await open_streams(std::move(socket), options.limit, std::move(tls));
}

Coro<Streams> open_connection(Socket socket, StreamOptions options) {
  return open_streams(std::move(socket), options.limit, detail::client_tls_options(options));
}

namespace detail {

void watch_client(const AnyTask& task, StreamWriter writer) {
  task.add_done_callback([writer = std::move(writer)](const AnyFuture& done) {
    if (done.cancelled()) return writer.close();
    const std::exception_ptr error = done.exception();
    if (error == nullptr) return;
    ExceptionContext report;
    report.message = "Unhandled exception in client_connected_cb";
    report.exception = error;
    report.extra.emplace_back("transport", repr(writer.transport()));
    done.get_loop().call_exception_handler(report);
    writer.close();
  });
}

Coro<Server> start_stream_server(ClientConnected connected, std::vector<std::string> hosts, Service port,
                                 StartServerOptions options) {
  co_return co_await listen(protocols_of(std::move(connected), options.limit), std::move(hosts),
                            std::move(port), server_options(options));
}

Coro<Server> start_unix_stream_server(ClientConnected connected, std::string path,
                                      StartServerOptions options) {
  co_return co_await listen_unix_path(protocols_of(std::move(connected), options.limit), std::move(path),
                                      server_options(options));
}

Coro<Server> start_stream_server_on(ClientConnected connected, Socket socket, StartServerOptions options) {
  co_return co_await listen_on(protocols_of(std::move(connected), options.limit), std::move(socket),
                               server_options(options));
}

}  // namespace detail

}  // namespace aiofiber
