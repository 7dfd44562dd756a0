// SPDX-License-Identifier: Apache-2.0
//
// The echo server on the runtime's own primitive: each task waits until its socket is readable, then reads.
// libev's callbacks do the same. This saves the failing read with which a blocking read() begins.
#include <aiofiber/asyncio.h>
#include <aiofiber/runtime/engine/fd_wait.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"

namespace {

using aiofiber::runtime::fd_closing;
using aiofiber::runtime::fd_wait;
using aiofiber::runtime::kReadable;

void serve(int connection) {
  char buffer[echo::kBufferSize];
  for (;;) {
    fd_wait(connection, kReadable);
    const ssize_t n = recv(connection, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n <= 0 || send(connection, buffer, static_cast<std::size_t>(n), MSG_DONTWAIT) != n) break;
  }
  fd_closing(connection);
  close(connection);
}

}  // namespace

int main() {
  asyncio::run([] {
    echo::set_nonblocking(echo::kListener);
    for (;;) {
      fd_wait(echo::kListener, kReadable);
      const int connection = accept4(echo::kListener, nullptr, nullptr, SOCK_NONBLOCK);
      if (connection < 0) continue;
      echo::set_no_delay(connection);
      asyncio::create_task([connection] { serve(connection); }).detach();
    }
  });
}
