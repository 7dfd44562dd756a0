// SPDX-License-Identifier: Apache-2.0
//
// The easy interface, over http and over https (libcurl's OpenSSL; the server's own certificate is the
// authority).
#include <curl/curl.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(data, size * count);
  return size * count;
}

HttpServer& http() { return clients_test::server<HttpServer>(); }

// A handle, which keeps its connection and makes a new one where it sees that the old one is dead.
class LibcurlHandle : public KeptConnection {
 public:
  LibcurlHandle(bool tls, int port)
      : curl_(curl_easy_init(), &curl_easy_cleanup),
        url_((tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port)) {
    curl_easy_setopt(curl_.get(), CURLOPT_CAINFO, http().certificate().c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl_.get(), CURLOPT_NOSIGNAL, 1L);
  }
  std::string ask(int number, int seconds) override {
    const std::string body = fetch(seconds > 0 ? "/slow" : "/score/" + std::to_string(number));
    return body.substr(body.rfind(' ') + 1, body.find('\n') - body.rfind(' ') - 1);
  }
  std::string fetch(const std::string& path) {
    std::string body;
    curl_easy_setopt(curl_.get(), CURLOPT_URL, (url_ + path).c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, &body);
    return curl_easy_perform(curl_.get()) == CURLE_OK ? body : std::string();
  }

 private:
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
  std::string url_;
};

class LibcurlCalls : public ClientCalls {
 public:
  explicit LibcurlCalls(bool tls) : tls_(tls) {}
  const char* name() const override { return tls_ ? "libcurl, https" : "libcurl, http"; }
  const char* functions() const override { return "`curl_easy_perform`"; }
  Server& server() override { return http(); }
  int port() override { return tls_ ? http().https_port() : http().port(); }
  bool quick(int port) override { return LibcurlHandle(tls_, port).fetch("/1k") == std::string(1000, 'x'); }
  void never(int port) override { LibcurlHandle(tls_, port).fetch("/never"); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<LibcurlHandle>(tls_, port);
  }

 private:
  bool tls_;
};

}  // namespace

std::unique_ptr<ClientCalls> libcurl_calls(bool tls) { return std::make_unique<LibcurlCalls>(tls); }

}  // namespace aiofiber::clients_test
