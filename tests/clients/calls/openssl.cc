// SPDX-License-Identifier: Apache-2.0
//
// A request to nginx by OpenSSL alone.
#include "calls/client_calls.h"
#include "calls/tls_connection.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class OpensslCalls : public ClientCalls {
 public:
  const char* name() const override { return "OpenSSL, own socket"; }
  const char* functions() const override { return "`connect`, `SSL_connect`, `SSL_write`, `SSL_read`"; }
  Server& server() override { return http(); }
  int port() override { return http().https_port(); }
  bool quick(int port) override { return get(port, "/1k").ends_with("\r\n\r\n" + std::string(1000, 'x')); }
  void never(int port) override { get(port, "/never"); }

 private:
  static HttpServer& http() { return clients_test::server<HttpServer>(); }
  static std::string get(int port, const std::string& path) {
    return TlsConnection(http().certificate(), port).ask("GET " + path + " HTTP/1.0\r\n\r\n");
  }
};

}  // namespace

std::unique_ptr<ClientCalls> openssl_calls() { return std::make_unique<OpensslCalls>(); }

}  // namespace aiofiber::clients_test
