// SPDX-License-Identifier: Apache-2.0
//
// The reference for large messages: an echo server on raw libev that reads up to 256 KiB, writes it, and
// reads no more until all of it is written.
#include <ev.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "echo.h"

namespace {

#pragma GCC diagnostic ignored "-Wold-style-cast"  // libev's macros
#pragma GCC diagnostic ignored "-Wstrict-aliasing"

struct Connection {
  ev_io watcher;
  std::unique_ptr<char[]> rest = nullptr;  // what was not written
  std::size_t begin = 0, end = 0;
};

char memory[echo::kLargeBufferSize];  // of all connections: only a rest is copied

void end_connection(struct ev_loop* loop, Connection* connection) {
  ev_io_stop(loop, &connection->watcher);
  close(connection->watcher.fd);
  delete connection;
}

void wait_for(struct ev_loop* loop, Connection& connection, int events) {
  ev_io_stop(loop, &connection.watcher);
  ev_io_set(&connection.watcher, connection.watcher.fd, events);
  ev_io_start(loop, &connection.watcher);
}

void on_ready(struct ev_loop* loop, ev_io* watcher, int events) {
  auto* const connection = static_cast<Connection*>(watcher->data);
  if ((events & EV_WRITE) != 0) {
    const ssize_t n =
        write(watcher->fd, connection->rest.get() + connection->begin, connection->end - connection->begin);
    if (n < 0) return errno == EAGAIN ? void() : end_connection(loop, connection);
    connection->begin += static_cast<std::size_t>(n);
    if (connection->begin == connection->end) wait_for(loop, *connection, EV_READ);
    return;
  }
  const ssize_t n = read(watcher->fd, memory, sizeof memory);
  if (n <= 0) return end_connection(loop, connection);
  const ssize_t written = write(watcher->fd, memory, static_cast<std::size_t>(n));
  if (written == n) return;
  if (written < 0 && errno != EAGAIN) return end_connection(loop, connection);
  if (connection->rest == nullptr) connection->rest = std::make_unique<char[]>(sizeof memory);
  connection->begin = 0;
  connection->end = static_cast<std::size_t>(n - (written > 0 ? written : 0));
  __builtin_memcpy(connection->rest.get(), memory + n - connection->end, connection->end);
  wait_for(loop, *connection, EV_WRITE);
}

void on_connection(struct ev_loop* loop, ev_io* listener, int) {
  int fd;
  while ((fd = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0) {
    echo::set_no_delay(fd);
    auto* const connection = new Connection;
    ev_io_init(&connection->watcher, on_ready, fd, EV_READ);
    connection->watcher.data = connection;
    ev_io_start(loop, &connection->watcher);
  }
}

}  // namespace

int main() {
  struct ev_loop* loop = ev_loop_new(EVBACKEND_EPOLL);
  echo::set_nonblocking(echo::kListener);
  ev_io listener;
  ev_io_init(&listener, on_connection, echo::kListener, EV_READ);
  ev_io_start(loop, &listener);
  ev_run(loop, 0);
}
