// SPDX-License-Identifier: Apache-2.0
//
// Sessions of OpenSSL: taken from a connection, offered to the server of a later one, kept apart by name.
//
// OpenSSL changes the session of a connection during its life, without a lock, and marks it as useless when
// the connection fails. So an SslSession has a copy of its own, which is only read, and each connection gets
// a copy of that. Source: ssl.SSLSession; RFC 8446, 4.6.1; RFC 5077.
#pragma once

#include <openssl/ssl.h>

#include <optional>
#include <string>

#include "aiofiber/ssl.h"

namespace aiofiber::detail {

// The newest session that the server has given to this client. nullopt: none.
std::optional<SslSession> session_of(SSL* connection, const SslContext& context,
                                     const std::string& server_hostname);

// Before the handshake of a client. Not offered: an expired session, or one of another server or of other
// checks, because a server that resumes it shows no certificate.
void offer_session(SSL* connection, const TlsSessionData& session, const SslContext& context,
                   const std::string& server_hostname);

// When a client's first message came: its sessions are of the server name that it asks for. The contexts of
// several names may ask for different certificates of a client, and a client that resumes a session shows
// none. False: no memory.
bool set_session_scope(SSL* connection) noexcept;

}  // namespace aiofiber::detail
