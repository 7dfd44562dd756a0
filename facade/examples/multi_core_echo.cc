// SPDX-License-Identifier: Apache-2.0
//
// An echo server on two cores, and its clients: a loop a thread. One loop accepts, and the group gives each
// loop every second connection. (With `reuse_port` instead of a group the kernel spreads them, by chance.)
#include <iostream>
#include <string>

#include <aiofiber/asyncio.h>

// Answers each line with the name of the worker in front.
struct Echo {
  std::string worker;

  void operator()(asyncio::StreamReader reader, asyncio::StreamWriter writer) const {
    for (const std::string& line : reader) {
      writer.write(worker + ": " + line);
      asyncio::await(writer.drain());
    }
    writer.close();
  }
};

static void client(int port, const std::string& line) {
  auto [reader, writer] = asyncio::await(asyncio::open_connection("127.0.0.1", port));
  writer.write(line);
  std::cout << asyncio::await(reader.readline());
  writer.close();
  asyncio::await(writer.wait_closed());
}

int main() {
  const asyncio::ServerGroup group;
  asyncio::Channel<int> first_serves(1), second_serves(1), end(1);
  const auto serve = [&group](const asyncio::Worker& worker) {
    return asyncio::await(asyncio::start_server(Echo{worker.name()}, "127.0.0.1", 0, {.group = group}));
  };
  asyncio::run_workers(
      [&](asyncio::Worker& worker) {
        if (worker.index() == 0) {
          asyncio::Server server = serve(worker);
          asyncio::await(first_serves.put(1));
          asyncio::await(second_serves.get());
          const int port = server.sockets().at(0).port();
          for (const char* line : {"Hello\n", "World!\n", "Hello again\n", "Good bye\n"}) client(port, line);
          asyncio::await(end.put(1));
          server.close();
          asyncio::await(server.wait_closed());
        } else {
          asyncio::await(first_serves.get());
          asyncio::Server server = serve(worker);
          asyncio::await(second_serves.put(1));
          asyncio::await(end.get());
          server.close();
          asyncio::await(server.wait_closed());
        }
      },
      {.loops = 2});
  std::cout << "done\n";
}
