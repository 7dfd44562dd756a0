// SPDX-License-Identifier: Apache-2.0
//
// A chat server: what one client writes, all others get. Two clients talk to it here.
//
// A client that does not read is no danger for the others: its connection is aborted once its buffer is full.
#include <iostream>
#include <list>
#include <string>
#include <vector>

#include "example_loop.h"

namespace {

class ChatRoom {
 public:
  void serve(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
    const std::string name = chomp(asyncio::await(reader.readline()));
    const auto place = guests_.insert(guests_.end(), writer);
    tell_others(writer, name + " comes\n");
    for (const std::string& line : reader) tell_others(writer, name + ": " + line);
    guests_.erase(place);
    tell_others(writer, name + " goes\n");
    writer.close();
  }

 private:
  static std::string chomp(std::string line) {
    if (line.ends_with('\n')) line.pop_back();
    return line;
  }
  void tell_others(const asyncio::StreamWriter& speaker, const std::string& text) {
    constexpr std::size_t kPatienceBytes = 1024 * 1024;
    for (const asyncio::StreamWriter& guest : guests_) {
      if (guest == speaker) continue;
      guest.write(text);
      if (guest.transport().get_write_buffer_size() > kPatienceBytes) guest.transport().abort();
    }
  }

  std::list<asyncio::StreamWriter> guests_;
};

void visit(int port, const std::string& name, const std::vector<std::string>& lines, int expected) {
  auto [reader, writer] = asyncio::await(asyncio::open_connection("127.0.0.1", port));
  writer.write(name + "\n");
  for (const std::string& line : lines) {
    asyncio::await(asyncio::sleep(std::chrono::seconds(1)));
    writer.write(line + "\n");
    asyncio::await(writer.drain());
  }
  for (int i = 0; i < expected; ++i) {
    const std::string line = asyncio::await(reader.readline());
    std::cout << name << " reads: " << line;
  }
  writer.close();
  asyncio::await(writer.wait_closed());
}

}  // namespace

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    ChatRoom room;
    asyncio::Server server = asyncio::await(asyncio::start_server(
        [&](asyncio::StreamReader reader, asyncio::StreamWriter writer) { room.serve(reader, writer); },
        "127.0.0.1", 0));
    const int port = server.sockets().at(0).port();
    asyncio::await(server.with([&] {
      asyncio::Task<> anna = asyncio::create_task(visit, port, "anna", std::vector<std::string>{}, 4);
      asyncio::await(asyncio::sleep(std::chrono::seconds(1)));
      visit(port, "bert", {"hello", "and good-bye"}, 0);
      asyncio::await(anna);
    }));
  });
  loop->close();
}
