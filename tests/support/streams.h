// SPDX-License-Identifier: Apache-2.0
//
// A server that sends back what comes, and both ends of a connection.
#pragma once

#include <string>
#include <utility>

#include "aiofiber/asyncio.h"

namespace aiofiber {

// A client function, with a stack and without one.
inline void echo(StreamReader reader, StreamWriter writer) {
  for (;;) {
    std::string bytes = await(reader.read(64 * 1024));
    if (bytes.empty()) break;
    writer.write(std::move(bytes));
    await(writer.drain());
  }
  writer.close();
}
inline Coro<void> echo_without_stack(StreamReader reader, StreamWriter writer) {
  for (;;) {
    std::string bytes = co_await reader.read(64 * 1024);
    if (bytes.empty()) break;
    writer.write(std::move(bytes));
    co_await writer.drain();
  }
  writer.close();
}

inline int port_of(const Server& server) { return server.sockets().at(0).port(); }

inline void end(const Server& server) {
  server.close();
  await(server.wait_closed());
}

// Both ends of a connection.
struct Ends {
  StreamReader reader, peer_reader;
  StreamWriter writer, peer_writer;
  Transport transport() const { return writer.transport(); }
  void close() const {
    writer.close();
    peer_writer.close();
  }
};

inline Ends connected_pair(StreamOptions options = {}) {
  auto [ours, theirs] = socketpair();
  auto [reader, writer] = await(open_connection(ours, options));
  auto [peer_reader, peer_writer] = await(open_connection(theirs, options));
  return {reader, peer_reader, writer, peer_writer};
}

}  // namespace aiofiber
