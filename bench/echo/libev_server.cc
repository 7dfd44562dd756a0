// SPDX-License-Identifier: Apache-2.0
//
// The reference: an echo server on raw libev, with one read and one write for each wake-up, and no
// allocation.
// It gets the listening socket as descriptor 3 from echo_bench.
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "echo.h"

namespace {

#pragma GCC diagnostic ignored "-Wold-style-cast"  // libev's macros
#pragma GCC diagnostic ignored "-Wstrict-aliasing"

void on_readable(struct ev_loop* loop, ev_io* watcher, int) {
  char buffer[echo::kBufferSize];
  const ssize_t n = read(watcher->fd, buffer, sizeof buffer);
  if (n > 0 && write(watcher->fd, buffer, static_cast<std::size_t>(n)) == n) return;
  ev_io_stop(loop, watcher);
  close(watcher->fd);
  delete watcher;
}

void on_connection(struct ev_loop* loop, ev_io* listener, int) {
  int connection;
  while ((connection = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0) {
    echo::set_no_delay(connection);
    auto* watcher = new ev_io;
    ev_io_init(watcher, on_readable, connection, EV_READ);
    ev_io_start(loop, watcher);
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
