// SPDX-License-Identifier: Apache-2.0
//
// The headers of a page, by an HTTP client of a few lines. The server is in the same program.
#include <iostream>
#include <string>

#include "example_loop.h"

static void print_http_headers(const std::string& host, int port, const std::string& path) {
  auto [reader, writer] = asyncio::await(asyncio::open_connection(host, port));
  writer.write("HEAD " + path + " HTTP/1.0\r\nHost: " + host + "\r\n\r\n");
  for (const std::string& line : reader) {
    const std::string header = line.substr(0, line.find_last_not_of("\r\n") + 1);
    if (!header.empty()) std::cout << "HTTP header> " << header << '\n';
  }
  writer.close();  // the body is not wanted
  asyncio::await(writer.wait_closed());
}

static void serve_page(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  const std::string head = asyncio::await(reader.readuntil("\r\n\r\n"));
  std::cout << "request> " << head.substr(0, head.find("\r\n")) << '\n';
  writer.write("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n");
  asyncio::await(writer.drain());
  writer.close();
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    asyncio::Server server = asyncio::await(asyncio::start_server(serve_page, "127.0.0.1", 0));
    asyncio::await(
        server.with([&] { print_http_headers("127.0.0.1", server.sockets().at(0).port(), "/page"); }));
  });
  loop->close();
}
