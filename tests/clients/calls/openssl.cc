// SPDX-License-Identifier: Apache-2.0
//
// A request to nginx with OpenSSL alone.
#include <string>

#include "calls/client_calls.h"
#include "calls/tls_connection.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class OpensslConnection : public KeptConnection {
 public:
  OpensslConnection(const std::string& certificate, int port) : connection_(certificate, port) {}
  std::string ask(int number, int seconds) override {
    const std::string path = seconds > 0 ? "/slow" : "/score/" + std::to_string(number);
    const std::string answer =
        connection_.ask("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n0\r\n\r\n");
    const std::size_t end = answer.find("\n\r\n0\r\n\r\n");
    if (end == std::string::npos) return {};
    const std::size_t start = answer.rfind(' ', end) + 1;
    return answer.substr(start, end - start);
  }

 private:
  TlsConnection connection_;
};

class OpensslCalls : public ClientCalls {
 public:
  const char* name() const override { return "OpenSSL, own socket"; }
  const char* functions() const override { return "`connect`, `SSL_connect`, `SSL_write`, `SSL_read`"; }
  Server& server() override { return http(); }
  int port() override { return http().https_port(); }
  bool quick(int port) override { return get(port, "/1k").ends_with("\r\n\r\n" + std::string(1000, 'x')); }
  void never(int port) override { get(port, "/never"); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<OpensslConnection>(http().certificate(), port);
  }

 private:
  static HttpServer& http() { return clients_test::server<HttpServer>(); }
  static std::string get(int port, const std::string& path) {
    return TlsConnection(http().certificate(), port).ask("GET " + path + " HTTP/1.0\r\n\r\n");
  }
};

}  // namespace

std::unique_ptr<ClientCalls> openssl_calls() { return std::make_unique<OpensslCalls>(); }

}  // namespace aiofiber::clients_test
