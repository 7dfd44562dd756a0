// SPDX-License-Identifier: Apache-2.0
//
// A TCP echo server, and its client, in one program: start_server() and open_connection().
#include <iostream>
#include <string>

#include "example_loop.h"

static void handle_echo(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  const std::string message = asyncio::await(reader.readline());
  std::cout << "server: received " << message;
  writer.write(message);
  asyncio::await(writer.drain());
  std::cout << "server: close the connection\n";
  writer.close();
  asyncio::await(writer.wait_closed());
}

static void client(int port, const std::string& message) {
  auto [reader, writer] = asyncio::await(asyncio::open_connection("127.0.0.1", port));
  std::cout << "client: send " << message;
  writer.write(message);
  asyncio::await(writer.drain());
  const std::string answer = asyncio::await(reader.read());
  std::cout << "client: received " << answer;
  writer.close();
  asyncio::await(writer.wait_closed());
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    asyncio::Server server = asyncio::await(asyncio::start_server(handle_echo, "127.0.0.1", 0));
    asyncio::await(server.with([&] { client(server.sockets().at(0).port(), "Hello World!\n"); }));
    std::cout << "done\n";
  });
  loop->close();
}
