// SPDX-License-Identifier: Apache-2.0
//
// The reference for TLS: an echo server on OpenSSL and epoll, with one read of the socket for each wake-up.
// Usage: echo_openssl_server CERTIFICATE KEY. It gets the listening socket as descriptor 3 from echo_bench.
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "echo.h"

namespace {

struct Connection {
  int fd;
  SSL* ssl;
};

// False: the connection has ended.
bool serve(const Connection& connection) {
  char buffer[echo::kBufferSize];
  if (SSL_is_init_finished(connection.ssl) == 0) {
    const int result = SSL_accept(connection.ssl);
    if (result != 1) return SSL_get_error(connection.ssl, result) == SSL_ERROR_WANT_READ;
    // The first message may have come with the end of the handshake.
  }
  do {
    const int count = SSL_read(connection.ssl, buffer, sizeof buffer);
    if (count <= 0) return SSL_get_error(connection.ssl, count) == SSL_ERROR_WANT_READ;
    if (SSL_write(connection.ssl, buffer, count) != count) return false;
  } while (SSL_has_pending(connection.ssl) == 1);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1)
    return 1;
  SSL_CTX_set_read_ahead(context, 1);  // a record in one read, not in two
  const int poll = epoll_create1(0);
  echo::set_nonblocking(echo::kListener);
  const auto add = [poll](int fd, Connection* connection) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection;
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  };
  add(echo::kListener, nullptr);
  for (;;) {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* const connection = static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (connection == nullptr) {
        for (int fd; (fd = accept4(echo::kListener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
          echo::set_no_delay(fd);
          SSL* const ssl = SSL_new(context);
          SSL_set_fd(ssl, fd);
          SSL_set_accept_state(ssl);
          add(fd, new Connection{fd, ssl});
        }
      } else if (!serve(*connection)) {
        SSL_free(connection->ssl);
        close(connection->fd);
        delete connection;
      }
    }
  }
}
