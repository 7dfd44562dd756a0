// SPDX-License-Identifier: Apache-2.0
//
// What the tests of TLS share: the contexts of a server and of a client that trusts it, a connection.
#pragma once

#include <string>

#include "aiofiber/asyncio.h"
#include "facade/tls/certificates.h"
#include "support/errors.h"
#include "support/streams.h"

namespace aiofiber {

inline SslContext server_context(const std::string& file = Certificates::get().server()) {
  SslContext context = SslContext::create_default_context({.purpose = Purpose::CLIENT_AUTH});
  context.load_cert_chain(file);
  return context;
}
inline SslContext client_context() {
  return SslContext::create_default_context({.cafile = Certificates::get().authority()});
}

// A connection between two sockets of a pair, each end with TLS.
inline Ends tls_pair() {
  auto [ours, theirs] = socketpair();
  auto client = create_task([socket = ours] {
    return await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
  });
  auto [peer_reader, peer_writer] = await(open_connection(theirs));
  await(peer_writer.start_tls(server_context(), {.server_side = true}));
  auto [reader, writer] = await(client);
  return {reader, peer_reader, writer, peer_writer};
}

}  // namespace aiofiber
