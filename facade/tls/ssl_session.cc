// SPDX-License-Identifier: Apache-2.0
//
// Copies of sessions, and the checks before one is offered.
#include "tls/ssl_session.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <new>
#include <string_view>

#include "tls/tls_context.h"

namespace aiofiber::detail {

namespace {

using Native = std::unique_ptr<SSL_SESSION, void (*)(SSL_SESSION*)>;

Native copy(const SSL_SESSION* session) {
  Native copied(SSL_SESSION_dup(session), SSL_SESSION_free);
  if (copied == nullptr) throw std::bad_alloc();
  return copied;
}

bool is_expired(const TlsSessionData& session) {
  return std::time(nullptr) >= (session.time + session.timeout).time_since_epoch().count();
}

// The name in the extension server_name: a length of 2 bytes for the list, then for each entry a kind, which
// is 0 for a host, and a length of 2 bytes. Empty: none, or nonsense, which OpenSSL refuses afterwards.
std::string_view server_name_of(SSL* connection) noexcept {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  constexpr std::size_t kHead = 5;
  if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_server_name, &bytes, &size) != 1 || size < kHead ||
      bytes[2] != TLSEXT_NAMETYPE_host_name)
    return {};
  const std::size_t length = static_cast<std::size_t>(bytes[3]) << 8 | bytes[4];
  if (length > size - kHead) return {};
  return {reinterpret_cast<const char*>(bytes + kHead), length};
}

// Seconds since 1970.
std::int64_t begin_of(const SSL_SESSION* session) {
#if OPENSSL_VERSION_NUMBER >= \
    0x30300000L  // where the older one is deprecated: a long ends in 2038 on 32 bits
  return SSL_SESSION_get_time_ex(session);
#else
  return SSL_SESSION_get_time(session);
#endif
}

}  // namespace

std::optional<SslSession> session_of(SSL* connection, const SslContext& context,
                                     const std::string& server_hostname) {
  const SSL_SESSION* const current = SSL_get0_session(connection);
  if (current == nullptr || SSL_SESSION_is_resumable(current) == 0) return std::nullopt;
  Native native = copy(current);
  unsigned id_length = 0;
  const unsigned char* const id = SSL_SESSION_get_id(current, &id_length);
  auto data = std::make_shared<TlsSessionData>();
  data->factory = context.factory();
  data->server_hostname = server_hostname;
  data->verify_mode = context.verify_mode();
  data->check_hostname = context.check_hostname();
  data->id.assign(reinterpret_cast<const char*>(id), id_length);
  data->time = std::chrono::sys_seconds(std::chrono::seconds(begin_of(current)));
  data->timeout = std::chrono::seconds(SSL_SESSION_get_timeout(current));
  data->has_ticket = SSL_SESSION_has_ticket(current) != 0;
  data->ticket_lifetime_hint = std::chrono::seconds(SSL_SESSION_get_ticket_lifetime_hint(current));
  if (data->ticket_lifetime_hint.count() > 0)
    data->timeout = std::min(data->timeout, data->ticket_lifetime_hint);
  data->native = std::shared_ptr<SSL_SESSION>(std::move(native));
  return SslSession(std::move(data));
}

void offer_session(SSL* connection, const TlsSessionData& session, const SslContext& context,
                   const std::string& server_hostname) {
  if (is_expired(session) || session.server_hostname != server_hostname ||
      session.verify_mode != context.verify_mode() || session.check_hostname != context.check_hostname())
    return;
  const Native own = copy(static_cast<const SSL_SESSION*>(session.native.get()));
  SSL_set_session(connection, own.get());
}

bool set_session_scope(SSL* connection) noexcept {
  static_assert(SSL_MAX_SID_CTX_LENGTH == 32);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  const std::string_view name = server_name_of(connection);
  return EVP_Digest(name.data(), name.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1 &&
         SSL_set_session_id_context(connection, digest.data(), length) == 1;
}

}  // namespace aiofiber::detail
