// SPDX-License-Identifier: Apache-2.0
//
// One side of a conversation with CPython: `peer serve` prints its port and serves until its standard input
// ends; `peer client ADDRESS COUNT` talks to a server that speaks the same, with COUNT short connections at
// the end. ADDRESS: a port of 127.0.0.1, or the path of a Unix socket. `peer udp_serve` and `peer udp_client
// PORT` do the same with datagrams: each is sent back. The first line of a connection says what it is for;
// peer.py has the same four:
//
//   echo          what comes is sent back, up to the end
//   lines         each line is answered by its length
//   take          up to the end, then the answer: how many bytes, and their sum
//   give COUNT    so many bytes, then the end
//
// Byte number i is i * 31 >> 3, also of a datagram. The client prints "ok" and exits with 0 if each answer is
// right.
#include <cstdint>
#include <iostream>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/asyncio.h"

namespace {

using namespace std::chrono_literals;
using Streams = std::pair<asyncio::StreamReader, asyncio::StreamWriter>;

constexpr std::size_t kMany = 64 << 20;
constexpr std::size_t kPiece = 100'000;
constexpr std::size_t kHighWater = 64 * 1024;

std::string bytes_from(std::size_t first, std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>((first + i) * 31 >> 3);
  return bytes;
}
std::uint64_t sum_of(std::string_view bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}, [](std::uint64_t sum, char byte) {
    return (sum * 31 + static_cast<unsigned char>(byte)) % 1'000'000'007;
  });
}
std::string answer_to(std::string_view bytes) {
  return std::to_string(bytes.size()) + " " + std::to_string(sum_of(bytes)) + "\n";
}

void check(bool right, const std::string& what) {
  if (!right) throw std::runtime_error("wrong: " + what);
}

// Sends the bytes, and checks that the buffer stays small.
void give(asyncio::StreamWriter writer, std::size_t count) {
  for (std::size_t at = 0; at < count; at += kPiece) {
    writer.write(bytes_from(at, std::min(kPiece, count - at)));
    check(writer.transport().get_write_buffer_size() <= kHighWater + kPiece, "the size of the write buffer");
    asyncio::await(writer.drain());
  }
}

void serve(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  const std::string command = asyncio::await(reader.readline());
  if (command == "echo\n") {
    for (;;) {
      std::string bytes = asyncio::await(reader.read(kPiece));
      if (bytes.empty()) break;
      writer.write(std::move(bytes));
      asyncio::await(writer.drain());
    }
  } else if (command == "lines\n") {
    for (const std::string& line : reader) writer.write(std::to_string(line.size()) + "\n");
  } else if (command == "take\n") {
    writer.write(answer_to(asyncio::await(reader.read())));
  } else if (command.starts_with("give ")) {
    give(writer, std::stoul(command.substr(5)));
  }
  writer.close();
}

Streams connect(const std::string& address) {
  if (address.starts_with('/')) return asyncio::await(asyncio::open_unix_connection(address));
  return asyncio::await(asyncio::open_connection("127.0.0.1", address));
}

void end(const Streams& streams) {
  streams.second.close();
  asyncio::await(streams.second.wait_closed());
}

void talk(const std::string& address, int count) {
  {
    const Streams streams = connect(address);
    auto sending = asyncio::create_task([&] {
      streams.second.write("echo\n");
      give(streams.second, kMany / 8);
      streams.second.write_eof();
    });
    check(asyncio::await(streams.first.read()) == bytes_from(0, kMany / 8), "echo");
    asyncio::await(sending);
    end(streams);
  }
  {
    const Streams streams = connect(address);
    streams.second.write("lines\n");
    for (std::size_t length = 0; length < 1000; ++length) {
      streams.second.write(std::string(length, 'x') + "\n");
      check(asyncio::await(streams.first.readline()) == std::to_string(length + 1) + "\n", "lines");
    }
    end(streams);
  }
  {
    const Streams streams = connect(address);
    streams.second.write("take\n");
    give(streams.second, kMany / 8);
    streams.second.write_eof();
    check(asyncio::await(streams.first.readline()) == answer_to(bytes_from(0, kMany / 8)), "take");
    end(streams);
  }
  {
    const Streams streams = connect(address);
    streams.second.write("give " + std::to_string(kMany) + "\n");
    std::size_t got = 0;
    while (!streams.first.at_eof()) {
      const std::string bytes = asyncio::await(streams.first.read(kPiece));
      check(bytes == bytes_from(got, bytes.size()), "give");
      got += bytes.size();
      if (got % 7 == 0) asyncio::await(asyncio::sleep(1ms));  // a slow reader
    }
    check(got == kMany, "the number of bytes given");
    end(streams);
  }
  while (count > 0) {
    std::vector<asyncio::Task<>> clients;
    for (int i = 0; i < 50 && count > 0; ++i, --count) {
      clients.push_back(asyncio::create_task([&address] {
        const Streams streams = connect(address);
        streams.second.write("lines\nabc\n");
        check(asyncio::await(streams.first.readline()) == "4\n", "a short connection");
        end(streams);
      }));
    }
    asyncio::await(asyncio::gather(clients));
  }
  std::cout << "ok" << std::endl;
}

void wait_for_the_end_of_the_input() {
  asyncio::await(asyncio::to_thread([] { std::cin.get(); }));
}

// ---- datagrams

struct SendBack : asyncio::DatagramProtocol {
  asyncio::DatagramTransport transport;
  void connection_made(asyncio::DatagramTransport made) override { transport = std::move(made); }
  void datagram_received(std::string_view data, const asyncio::SocketAddress& from) override {
    transport.sendto(data, from);
  }
};
struct Keep : asyncio::DatagramProtocol {
  asyncio::Queue<std::string> came;
  void datagram_received(std::string_view data, const asyncio::SocketAddress&) override {
    came.put_nowait(std::string(data));
  }
  void error_received(std::exception_ptr error) override { std::rethrow_exception(error); }
};

void serve_datagrams() {
  auto [transport, protocol] = asyncio::await(asyncio::get_running_loop().create_datagram_endpoint(
      [] { return std::make_shared<SendBack>(); }, {.local_addr = std::pair(std::string("127.0.0.1"), 0)}));
  std::cout << transport.sockname()->port() << std::endl;
  wait_for_the_end_of_the_input();
  transport.close();
}

void talk_by_datagrams(int port) {
  auto [transport, protocol] = asyncio::await(asyncio::get_running_loop().create_datagram_endpoint(
      [] { return std::make_shared<Keep>(); }, {.remote_addr = std::pair(std::string("127.0.0.1"), port)}));
  // No more at once than a socket's buffer has room for. None is empty: CPython before 3.13 does not send
  // that.
  for (std::size_t at = 0; at < 4000; at += 8) {
    for (std::size_t i = at; i < at + 8; ++i) transport.sendto(bytes_from(i, 1 + i * 37 % 1500));
    for (std::size_t i = at; i < at + 8; ++i)
      check(asyncio::await(protocol->came.get()) == bytes_from(i, 1 + i * 37 % 1500), "a datagram");
  }
  for (const std::size_t size : {1U, 9216U, 65507U}) {
    transport.sendto(bytes_from(size, size));
    check(asyncio::await(protocol->came.get()) == bytes_from(size, size), "a datagram of an odd size");
  }
  transport.close();
  std::cout << "ok" << std::endl;
}

void serve_until_the_input_ends(const std::string& path) {
  asyncio::Server server = path.empty() ? asyncio::await(asyncio::start_server(serve, "127.0.0.1", 0))
                                        : asyncio::await(asyncio::start_unix_server(serve, path));
  std::cout << (path.empty() ? std::to_string(server.sockets().at(0).port()) : path) << std::endl;
  asyncio::await(server.with(wait_for_the_end_of_the_input));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 3 && words[0] == "client") {
    asyncio::run([&] { talk(words[1], std::stoi(words[2])); });
  } else if (words.size() == 2 && words[0] == "udp_client") {
    asyncio::run([&] { talk_by_datagrams(std::stoi(words[1])); });
  } else if (words.size() == 1 && words[0] == "udp_serve") {
    asyncio::run(serve_datagrams);
  } else if (!words.empty() && words[0] == "serve") {
    asyncio::run([&] { serve_until_the_input_ends(words.size() > 1 ? words[1] : ""); });
  } else {
    std::cerr << "usage: peer client ADDRESS COUNT | serve [PATH] | udp_client PORT | udp_serve\n";
    return 2;
  }
}
