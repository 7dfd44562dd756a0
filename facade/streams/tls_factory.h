// SPDX-License-Identifier: Apache-2.0
//
// TlsFactory: how streams, servers and the loop reach TLS without a reference to OpenSSL.
//
// The context that a program made with aiofiber::tls is one. It puts a transport with TLS between the
// transport of a socket and a protocol. The functions below need no OpenSSL: the checks of the options, and
// start_tls().
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "aiofiber/coro.h"
#include "aiofiber/duration.h"
#include "aiofiber/future.h"
#include "aiofiber/protocols.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/ssl.h"
#include "aiofiber/stream_reader.h"
#include "aiofiber/transports.h"

namespace aiofiber::detail {

struct TlsSetup {
  bool server_side = false;
  std::optional<std::string> server_hostname = std::nullopt;
  std::optional<Duration> handshake_timeout = std::nullopt;
  std::optional<Duration> shutdown_timeout = std::nullopt;
  SslSession session = {};  // of a client
  // False: the protocol has a connection already (start_tls).
  bool call_connection_made = true;
  // What came from the peer before the begin.
  std::string received = {};
};

struct TlsConnection {
  runtime::Ref<TransportState> transport;  // the protocol's
  std::shared_ptr<BaseProtocol> wire;      // the protocol of the socket's transport
};

class TlsFactory {
 public:
  TlsFactory() = default;
  TlsFactory(const TlsFactory&) = delete;
  TlsFactory& operator=(const TlsFactory&) = delete;
  virtual ~TlsFactory() = default;

  // SSLError: the context is for the other side.
  virtual void check_side(bool server_side) const = 0;
  // The handshake begins with the connection_made() of `wire`. At its end `made`, if there is one, is set, or
  // gets the error. ValueError: the host's name shall be checked, and is missing or no name.
  virtual TlsConnection wrap(const SslContext& context, LoopCore& loop,
                             std::shared_ptr<BaseProtocol> protocol, TlsSetup setup, Future<void> made) = 0;
};

// What the options say, or nothing if they have no context. ValueError: something of TLS is given without
// one; a timeout is not above 0; a client knows no host and is given no name; the session is of another
// context. SSLError: the context is for the other side.
std::optional<TlsSetup> tls_setup(const TlsOptions& options, bool server_side);

// A transport of the running loop becomes the wire of a new one with TLS, when the handshake is done.
// `reader`, if there is one, has bytes that came before and belong to TLS; they are taken from it.
Coro<Transport> start_tls(LoopCore& loop, Transport transport, std::shared_ptr<BaseProtocol> protocol,
                          SslContext context, StartTlsOptions options, StreamReaderState* reader = nullptr);

}  // namespace aiofiber::detail
