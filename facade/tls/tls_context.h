// SPDX-License-Identifier: Apache-2.0
//
// TlsContext: what an SslContext refers to, an SSL_CTX of OpenSSL with what it calls back.
//
// Every connection keeps the context, because OpenSSL's callbacks refer to it. It is changed before its first
// connection only, so any thread may use it then.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "aiofiber/ssl.h"
#include "streams/tls_factory.h"

namespace aiofiber::detail {

class TlsContext final : public TlsFactory {
 public:
  explicit TlsContext(Purpose purpose);

  void check_side(bool server_side) const override;
  TlsConnection wrap(const SslContext& context, LoopCore& loop, std::shared_ptr<BaseProtocol> protocol,
                     TlsSetup setup, Future<void> made) override;

  SSL_CTX* get() const noexcept { return context_.get(); }
  bool is_for_servers() const noexcept { return server_; }

  bool check_hostname = false;
  SslContext::SniCallback sni_callback;
  std::string alpn_protocols;  // as they are sent: each after a byte with its length

 private:
  static int select_alpn(SSL* connection, const unsigned char** chosen, unsigned char* length,
                         const unsigned char* offered, unsigned offered_length, void* context) noexcept;
  // Before OpenSSL looks for a session.
  static int hello_came(SSL* connection, int* alert, void* context) noexcept;
  static int server_name_came(SSL* connection, int* alert, void* context) noexcept;
  static int password_wanted(char* out, int size, int writing, void* password) noexcept;

  const bool server_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
};

TlsContext& tls_context(const SslContext& context);

}  // namespace aiofiber::detail
