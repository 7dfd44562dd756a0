// SPDX-License-Identifier: Apache-2.0
//
// add_reader/add_writer: order of I/O callbacks, ready callbacks and due timers in one pass.
// The twin of python/079_io_vs_timers.py.
#include "../conf.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace conf::s079 {

static void send(int fd, std::string_view data) {
  if (::send(fd, data.data(), data.size(), 0) != static_cast<ssize_t>(data.size())) throw OSError("send");
}

// What recv() gives, as Python prints bytes.
static Verbatim receive(int fd) {
  std::array<char, 100> buffer{};
  const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (n < 0) throw OSError("recv");
  return {"b" + py(std::string_view(buffer.data(), static_cast<std::size_t>(n)))};
}

SCENARIO(079_io_vs_timers) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) {
      throw OSError("socketpair");
    }
    const auto [a, b] = pair;
    const int reading = a;  // clang 14 captures no structured bindings
    const int writing = b;
    const auto rd = [reading](int tag) { log("reader", tag, receive(reading)); };
    loop.add_reader(a, rd, 1);
    send(b, "x");
    loop.call_soon(log, "ready");
    loop.call_later(0s, log, "timer due");
    asyncio::await(asyncio::sleep(0s));
    log("main: it was ready before the reader");
    asyncio::await(asyncio::sleep(0s));
    log("--");
    loop.add_reader(a, rd, 2);
    send(b, "y");
    ticks(2);
    log("the second add_reader replaced the first; level triggered:");
    int k = 0;
    loop.add_reader(a, [&loop, &k, reading] {
      log("not reading", ++k);
      if (k == 3) loop.remove_reader(reading);
    });
    send(b, "z");
    ticks(5);
    log("left in the buffer", receive(a));
    loop.add_reader(a, rd, 3);
    send(b, "w");
    loop.call_soon([&loop, reading] {
      const bool first = loop.remove_reader(reading);
      log("remove_reader", first, loop.remove_reader(reading));
    });
    ticks(3);
    log("removal in the same pass stops a reader that was already ready:", receive(a));
    int n = 0;
    loop.add_writer(b, [&loop, &n, writing] {
      log("writable", ++n);
      if (n == 2) loop.remove_writer(writing);
    });
    ticks(4);
    loop.add_reader(a, [&loop, reading] {
      loop.remove_reader(reading);
      throw ValueError("in reader");
    });
    send(b, "q");
    ticks(2);
    ::close(a);
    ::close(b);
  });
}

}  // namespace conf::s079
