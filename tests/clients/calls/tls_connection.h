// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL's blocking calls on a given socket. The server's certificate is checked.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "connected_socket.h"

namespace aiofiber::clients_test {

class TlsConnection {
 public:
  TlsConnection(const std::string& certificate, int port)
      : context_(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free), socket_(port), ssl_(nullptr, &SSL_free) {
    if (socket_.fd() < 0 || SSL_CTX_load_verify_locations(context_.get(), certificate.c_str(), nullptr) != 1)
      return;
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
    if (!connected_) ERR_clear_error();
  }
  bool connected() const { return connected_; }
  SSL* ssl() { return ssl_.get(); }

  // Sends a request and reads until the answer ends so, or else to the end of the connection; empty if it
  // broke before anything came.
  std::string ask(const std::string& request, const std::string& end = {}) {
    std::string answer;
    if (!connected_ || SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size())) <= 0)
      return answer;
    char piece[4096];
    for (int length; (length = SSL_read(ssl_.get(), piece, sizeof piece)) > 0;) {
      answer.append(piece, static_cast<std::size_t>(length));
      if (!end.empty() && answer.ends_with(end)) break;
    }
    ERR_clear_error();
    return answer;
  }

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  ConnectedSocket socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  bool connected_ = false;
};

}  // namespace aiofiber::clients_test
