// SPDX-License-Identifier: Apache-2.0
//
// A service that ends gracefully: at SIGTERM it takes no new clients, and answers the requests that are under
// way.
#include <csignal>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "example_loop.h"

static void serve(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  const std::string request = asyncio::await(reader.readline());
  asyncio::await(asyncio::sleep(std::chrono::seconds(std::stoi(request))));  // the work
  writer.write("done: " + request);
  asyncio::await(writer.drain());
  writer.close();
}

static void client(int port, const std::string& request) {
  auto [reader, writer] = asyncio::await(asyncio::open_connection("127.0.0.1", port));
  writer.write(request);
  const std::string answer = asyncio::await(reader.readline());
  std::cout << answer;
  writer.close();
  asyncio::await(writer.wait_closed());
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([&] {
    asyncio::Server server = asyncio::await(asyncio::start_server(serve, "127.0.0.1", 0));
    const int port = server.sockets().at(0).port();
    loop->add_signal_handler(SIGTERM, [server] {
      std::cout << "SIGTERM: no new clients\n";
      server.close();
    });
    std::vector<asyncio::Task<>> clients;
    for (const char* request : {"2\n", "3\n"}) clients.push_back(asyncio::create_task(client, port, request));
    asyncio::await(asyncio::sleep(std::chrono::seconds(1)));
    std::raise(SIGTERM);
    asyncio::await(server.wait_closed());  // the last answer is sent
    asyncio::await(asyncio::gather(clients));
    std::cout << "all are served\n";
    try {
      client(port, "1\n");
    } catch (const std::system_error&) {
      std::cout << "refused\n";
    }
  });
  loop->close();
}
