// SPDX-License-Identifier: Apache-2.0
//
// The easy interface, over http and over https (libcurl's OpenSSL; the server's own certificate is its authority).
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

class LibcurlCalls : public ClientCalls {
 public:
  explicit LibcurlCalls(bool tls) : tls_(tls) {}
  const char* name() const override { return tls_ ? "libcurl, https" : "libcurl, http"; }
  const char* functions() const override { return "`curl_easy_perform`"; }
  Server& server() override { return http(); }
  int port() override { return tls_ ? http().https_port() : http().port(); }
  bool quick(int port) override { return fetch(port, "/1k") == std::string(1000, 'x'); }
  void never(int port) override { fetch(port, "/never"); }

 private:
  static HttpServer& http() { return clients_test::server<HttpServer>(); }

  std::string fetch(int port, const std::string& path) const {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
    const std::string url = (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port) + path;
    std::string body;
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_CAINFO, http().certificate().c_str());
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
    return curl_easy_perform(curl.get()) == CURLE_OK ? body : std::string();
  }

  bool tls_;
};

}  // namespace

std::unique_ptr<ClientCalls> libcurl_calls(bool tls) { return std::make_unique<LibcurlCalls>(tls); }

}  // namespace aiofiber::clients_test
