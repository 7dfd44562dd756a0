// SPDX-License-Identifier: Apache-2.0
//
// The echo server in blocking style, with one task for each connection; the hooks make it suspend. It gets
// the listening socket as descriptor 3 from echo_bench.
#include <aiofiber/asyncio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"

namespace {

void serve(int connection) {
  char buffer[echo::kBufferSize];
  for (;;) {
    const ssize_t n = read(connection, buffer, sizeof buffer);
    if (n <= 0 || write(connection, buffer, static_cast<std::size_t>(n)) != n) break;
  }
  close(connection);
}

}  // namespace

int main() {
  asyncio::run([] {
    int connection;
    while ((connection = accept(echo::kListener, nullptr, nullptr)) >= 0) {
      echo::set_no_delay(connection);
      asyncio::create_task([connection] { serve(connection); }).detach();
    }
  });
}
