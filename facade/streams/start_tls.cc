// SPDX-License-Identifier: Apache-2.0
//
// What connections and servers do about TLS without OpenSSL: the checks of the options, and the change from a
// plain connection to an encrypted one.
#include <absl/strings/str_cat.h>

#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/resolve.h"
#include "streams/socket_transport.h"
#include "streams/tls_factory.h"

namespace aiofiber {

namespace detail {

namespace {

void check_timeout(const char* name, const std::optional<Duration>& timeout) {
  if (!timeout || *timeout > Duration()) return;
  throw ValueError(absl::StrCat(name, " should be a positive number, got ", timeout->seconds()));
}

void check_session(const SslSession& session, const SslContext& context) {
  if (session.valid() && session.data().factory != context.factory())
    throw ValueError("Session refers to a different SSLContext.");
}

}  // namespace

std::optional<TlsSetup> tls_setup(const TlsOptions& options, bool server_side) {
  if (!options.ssl.valid()) {
    if (options.server_hostname) throw ValueError("server_hostname is only meaningful with ssl");
    if (options.ssl_handshake_timeout) throw ValueError("ssl_handshake_timeout is only meaningful with ssl");
    if (options.ssl_shutdown_timeout) throw ValueError("ssl_shutdown_timeout is only meaningful with ssl");
    if (options.ssl_session) throw ValueError("ssl_session is only meaningful with ssl");
    return std::nullopt;
  }
  check_timeout("ssl_handshake_timeout", options.ssl_handshake_timeout);
  check_timeout("ssl_shutdown_timeout", options.ssl_shutdown_timeout);
  TlsSetup setup{.server_side = server_side,
                 .server_hostname = options.server_hostname,
                 .handshake_timeout = options.ssl_handshake_timeout,
                 .shutdown_timeout = options.ssl_shutdown_timeout,
                 .session = options.ssl_session};
  check_session(options.ssl_session, options.ssl);
  if (!server_side && !setup.server_hostname) {
    if (options.host.empty()) throw ValueError("You must set server_hostname when using ssl without a host");
    setup.server_hostname = options.host;
  }
  options.ssl.factory()->check_side(server_side);
  return setup;
}

Coro<Transport> start_tls(LoopCore& loop, Transport transport, std::shared_ptr<BaseProtocol> protocol,
                          SslContext context, StartTlsOptions options, StreamReaderState* reader) {
  check_same_loop(get_running_loop().core(), &loop, "start_tls");
  if (!context.valid()) throw ValueError("start_tls() needs an SslContext, and this one is empty");
  check_timeout("ssl_handshake_timeout", options.ssl_handshake_timeout);
  check_timeout("ssl_shutdown_timeout", options.ssl_shutdown_timeout);
  const bool server_side = options.server_side.value_or(false);
  context.factory()->check_side(server_side);
  if (server_side && options.ssl_session) throw ValueError("ssl_session is only for the client's side");
  check_session(options.ssl_session, context);
  if (transport.is_closing()) std::rethrow_exception(connection_reset("The connection is closed already"));

  Future<void> made = loop.facade().create_future<void>();
  TlsSetup setup{.server_side = server_side,
                 .server_hostname = std::move(options.server_hostname),
                 .handshake_timeout = options.ssl_handshake_timeout,
                 .shutdown_timeout = options.ssl_shutdown_timeout,
                 .session = std::move(options.ssl_session),
                 .call_connection_made = false};
  if (reader != nullptr) setup.received = reader->buffer.view();
  TlsConnection connection =
      context.factory()->wrap(context, loop, std::move(protocol), std::move(setup), made);
  if (reader != nullptr) {
    reader->buffer.clear();
    reader->data_taken();
  }
  transport.pause_reading();
  transport.set_protocol(connection.wire);
  try {
    // On the loop's stack, as every other call of the protocol. If the handshake cannot begin, nobody else
    // would tell.
    loop.facade().call_soon([wire = connection.wire, transport, made] {
      if (transport.is_closing()) return;  // the wire hears, or has heard, the end
      try {
        wire->connection_made(transport);
        transport.resume_reading();
      } catch (const std::exception&) {
        if (made.done()) throw;
        made.set_exception(std::current_exception());
      }
    });
    co_await made;
  } catch (...) {
    transport.abort();
    throw;
  }
  co_return Transport(connection.transport);
}

}  // namespace detail

const detail::TlsSessionData& SslSession::data() const {
  if (data_ == nullptr)
    throw RuntimeError("this SslSession is empty: take one from a connection, extra_info::ssl_session");
  return *data_;
}
bool SslSession::equals(const SslSession& other) const noexcept {
  return valid() && other.valid() ? data_->id == other.data_->id : valid() == other.valid();
}
const std::string& SslSession::id() const { return data().id; }
std::chrono::sys_seconds SslSession::time() const { return data().time; }
std::chrono::seconds SslSession::timeout() const { return data().timeout; }
bool SslSession::has_ticket() const { return data().has_ticket; }
std::chrono::seconds SslSession::ticket_lifetime_hint() const { return data().ticket_lifetime_hint; }

Coro<Transport> EventLoop::start_tls(Transport transport, std::shared_ptr<BaseProtocol> protocol,
                                     SslContext context) {
  return start_tls(std::move(transport), std::move(protocol), std::move(context), StartTlsOptions());
}
Coro<Transport> EventLoop::start_tls(Transport transport, std::shared_ptr<BaseProtocol> protocol,
                                     SslContext context, StartTlsOptions options) {
  return detail::start_tls(core(), std::move(transport), std::move(protocol), std::move(context),
                           std::move(options));
}

}  // namespace aiofiber
