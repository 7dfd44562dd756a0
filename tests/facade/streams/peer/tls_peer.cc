// SPDX-License-Identifier: Apache-2.0
//
// One side of conversations over TLS with CPython and with the command openssl. tls_peer.py is the other.
//
//   certificates           makes them in a folder of its own, prints the folder, and removes it when its
//                          input ends: server.pem, expired.pem, early.pem, self_signed.pem, authority.pem
//   serve CERTIFICATE      prints two ports, with TLS from the begin and without, serves until its input
//                          ends, and then prints how many connections resumed a session
//   client PORT PLAIN_PORT AUTHORITY COUNT   talks to a server that speaks the same, with COUNT short
//                          connections
//   open PORT AUTHORITY NAME [SETTING...]   connects and prints what it knows of the connection, or the error
//   accept CERTIFICATE [SETTING...]    prints its port, and the same for each client that comes
//
// SETTING: min=1.3, max=1.2, ciphers=LIST, alpn=LIST. The first line of a connection says what it is for:
//
//   echo COUNT      so many bytes are sent back, then the server ends
//   short           the answer is a line
//   upgrade         unencrypted; the answer is a line, then TLS begins, and another such command follows
//   end, cut        kEnd bytes, which the client confirms by a line, then the end: a regular one; one without
//                   the closing message of TLS
//   take            what comes up to the end is counted; the server prints the number, or the error
//
// Byte number i is i * 31 >> 3.
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "facade/tls/certificates.h"

namespace {

using namespace std::chrono_literals;
using Streams = std::pair<asyncio::StreamReader, asyncio::StreamWriter>;
using Words = std::vector<std::string>;

constexpr std::size_t kPiece = 100'000;
constexpr std::size_t kEcho = 4 << 20;
constexpr std::size_t kEnd = 300'000;

std::string bytes_from(std::size_t first, std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>((first + i) * 31 >> 3);
  return bytes;
}
void check(bool right, const std::string& what) {
  if (!right) throw std::runtime_error("wrong: " + what);
}
void say(const std::string& line) { std::cout << line << std::endl; }

void end(const Streams& streams) {
  streams.second.close();
  asyncio::await(streams.second.wait_closed());
}

// ---- conversations ----------------------------------------------------------------------------------------

// How a stream ends: the number of bytes before, and the error, if it is one. With a writer, they are
// confirmed.
std::string rest_of(asyncio::StreamReader reader,
                    std::optional<asyncio::StreamWriter> writer = std::nullopt) {
  std::size_t count = 0;
  try {
    for (;;) {
      if (count == kEnd && writer) writer->write("got it\n");
      const std::string bytes = asyncio::await(reader.read(kPiece));
      if (bytes.empty()) return std::to_string(count) + " bytes, end";
      check(bytes == bytes_from(count, bytes.size()), "the bytes up to the end");
      count += bytes.size();
    }
  } catch (const asyncio::SSLEOFError& error) {
    return std::to_string(count) + " bytes, " + error.reason();
  }
}

void serve(asyncio::StreamReader reader, asyncio::StreamWriter writer, const asyncio::SslContext& context,
           int& resumed) {
  std::string command = asyncio::await(reader.readline());
  if (command == "upgrade\n") {
    writer.write("go on\n");
    asyncio::await(writer.start_tls(context));
    command = asyncio::await(reader.readline());
  }
  if (writer.get_extra_info(asyncio::extra_info::ssl_session_reused) == true) ++resumed;
  if (command.starts_with("echo ")) {
    for (std::size_t left = std::stoul(command.substr(5)); left > 0;) {
      std::string bytes = asyncio::await(reader.read(kPiece));
      check(!bytes.empty() && bytes.size() <= left, "the echo ended early");
      left -= bytes.size();
      writer.write(std::move(bytes));
      asyncio::await(writer.drain());
    }
  } else if (command == "short\n") {
    writer.write("answer\n");
  } else if (command == "end\n" || command == "cut\n") {
    writer.write(bytes_from(0, kEnd));
    check(asyncio::await(reader.readline()) == "got it\n", "the line that confirms");
    if (command == "cut\n")
      ::shutdown(writer.get_extra_info(asyncio::extra_info::socket).value().fd(), SHUT_WR);
  } else if (command == "take\n") {
    say(rest_of(reader));
  }
  if (command == "cut\n") {
    writer.transport().abort();
  } else {
    writer.close();
  }
}

void echo_through(const Streams& streams) {
  streams.second.write("echo " + std::to_string(kEcho) + "\n");
  auto sending = asyncio::create_task([&] {
    for (std::size_t at = 0; at < kEcho; at += kPiece) {
      streams.second.write(bytes_from(at, std::min(kPiece, kEcho - at)));
      asyncio::await(streams.second.drain());
    }
  });
  check(asyncio::await(streams.first.readexactly(kEcho)) == bytes_from(0, kEcho), "echo");
  asyncio::await(sending);
  check(asyncio::await(streams.first.read()).empty(), "what follows the echo");
}

class Client {
 public:
  Client(std::string port, std::string plain_port, const std::string& authority)
      : port_(std::move(port)),
        plain_port_(std::move(plain_port)),
        context_(asyncio::SslContext::create_default_context({.cafile = authority})) {}

  Streams connect() {
    return asyncio::await(asyncio::open_connection(
        "127.0.0.1", port_, {.ssl = context_, .server_hostname = "localhost", .ssl_session = session_}));
  }

  void talk(int count) {
    {
      const Streams streams = connect();
      echo_through(streams);
      session_ = streams.second.get_extra_info(asyncio::extra_info::ssl_session).value();
      end(streams);
    }
    {
      const Streams streams = asyncio::await(asyncio::open_connection("127.0.0.1", plain_port_));
      streams.second.write("upgrade\n");
      check(asyncio::await(streams.first.readline()) == "go on\n", "the answer before TLS");
      asyncio::await(streams.second.start_tls(context_, {.server_hostname = "localhost"}));
      echo_through(streams);
      end(streams);
    }
    for (const std::string& command : {std::string("end"), std::string("cut")}) {
      const Streams streams = connect();
      streams.second.write(command + "\n");
      const std::string rest = rest_of(streams.first, streams.second);
      check(rest == std::to_string(kEnd) +
                        (command == "end" ? " bytes, end" : " bytes, UNEXPECTED_EOF_WHILE_READING"),
            command + ": " + rest);
      streams.second.transport().abort();
    }
    {
      const Streams streams = connect();
      check(streams.second.get_extra_info(asyncio::extra_info::ssl_session_reused) == true,
            "no session resumed");
      streams.second.write("take\n" + bytes_from(0, kEnd));
      end(streams);
    }
    while (count > 0) {
      std::vector<asyncio::Task<>> clients;
      for (int i = 0; i < 50 && count > 0; ++i, --count) {
        clients.push_back(asyncio::create_task([&] {
          const Streams streams = connect();
          streams.second.write("short\n");
          check(asyncio::await(streams.first.readline()) == "answer\n", "a short connection");
          end(streams);
        }));
      }
      asyncio::await(asyncio::gather(clients));
    }
    say("ok");
  }

 private:
  const std::string port_;
  const std::string plain_port_;
  const asyncio::SslContext context_;
  asyncio::SslSession session_;
};

// ---- one connection, and what is wrong with it ------------------------------------------------------------

asyncio::TLSVersion version(const std::string& text) {
  return text == "1.3" ? asyncio::TLSVersion::TLSv1_3 : asyncio::TLSVersion::TLSv1_2;
}
void set_up(const asyncio::SslContext& context, const Words& settings) {
  for (const std::string& setting : settings) {
    const std::size_t at = setting.find('=');
    const std::string name = setting.substr(0, at);
    const std::string value = setting.substr(at + 1);
    if (name == "min") context.set_minimum_version(version(value));
    if (name == "max") context.set_maximum_version(version(value));
    if (name == "ciphers") context.set_ciphers(value);
    if (name == "alpn") context.set_alpn_protocols({value});
  }
}

// Prints what `begin` made of a connection.
template <class F>
void tell(F begin) {
  try {
    const Streams streams = begin();
    say("TLS: " + streams.second.get_extra_info(asyncio::extra_info::ssl_version).value() + " " +
        streams.second.get_extra_info(asyncio::extra_info::alpn_protocol).value_or("-"));
    end(streams);
  } catch (const std::exception& error) {
    say(std::string("error: ") + error.what());
  }
}

void open(const Words& words) {
  const auto context = asyncio::SslContext::create_default_context({.cafile = words.at(1)});
  set_up(context, {words.begin() + 3, words.end()});
  tell([&] {
    Streams streams = asyncio::await(
        asyncio::open_connection("127.0.0.1", words.at(0), {.ssl = context, .server_hostname = words.at(2)}));
    asyncio::await(streams.first.read(1));  // an alert may come behind the handshake
    return streams;
  });
}

asyncio::SslContext serving(const std::string& certificate) {
  const auto context =
      asyncio::SslContext::create_default_context({.purpose = asyncio::Purpose::CLIENT_AUTH});
  context.load_cert_chain(certificate);
  return context;
}
void until_the_input_ends() {
  asyncio::await(asyncio::to_thread([] { std::cin.get(); }));
}

void accept(const Words& words) {
  const asyncio::SslContext context = serving(words.at(0));
  set_up(context, {words.begin() + 1, words.end()});
  asyncio::Server server = asyncio::await(asyncio::start_server(
      [context](asyncio::StreamReader reader, asyncio::StreamWriter writer) {
        tell([&] {
          asyncio::await(writer.start_tls(context));
          asyncio::await(reader.read());
          return Streams(reader, writer);
        });
      },
      "127.0.0.1", 0));
  say(std::to_string(server.sockets().at(0).port()));
  asyncio::await(server.with(until_the_input_ends));
}

void serve_all(const Words& words) {
  const asyncio::SslContext context = serving(words.at(0));
  int resumed = 0;
  const auto client = [&](asyncio::StreamReader reader, asyncio::StreamWriter writer) {
    serve(std::move(reader), std::move(writer), context, resumed);
  };
  asyncio::Server server = asyncio::await(asyncio::start_server(client, "127.0.0.1", 0, {.ssl = context}));
  asyncio::Server plain = asyncio::await(asyncio::start_server(client, "127.0.0.1", 0));
  say(std::to_string(server.sockets().at(0).port()) + " " + std::to_string(plain.sockets().at(0).port()));
  asyncio::await(server.with([&] { asyncio::await(plain.with(until_the_input_ends)); }));
  say(std::to_string(resumed) + " resumed");
}

void make_certificates() {
  aiofiber::Certificates& all = aiofiber::Certificates::get();
  const auto keep = [&](const std::string& name, const std::string& file) {
    std::filesystem::copy_file(file, all.folder() + "/" + name + ".pem");
  };
  keep("authority", all.authority());
  keep("server", all.make({.alternative = "DNS:localhost,DNS:other.test,IP:127.0.0.1"}).file);
  keep("expired", all.make({.begins_in_s = -7200, .ends_in_s = -3600}).file);
  keep("early", all.make({.begins_in_s = 3600}).file);
  keep("self_signed", all.make({.self_signed = true}).file);
  say(all.folder());
  std::cin.get();
}

}  // namespace

int main(int argc, char** argv) {
  Words words(argv + 1, argv + argc);
  if (words.empty()) {
    std::cerr << "usage: tls_peer certificates | serve | client | open | accept, with the words that the "
                 "source tells\n";
    return 2;
  }
  const std::string command = words[0];
  words.erase(words.begin());
  if (command == "certificates") make_certificates();
  if (command == "serve") asyncio::run([&] { serve_all(words); });
  if (command == "client")
    asyncio::run([&] { Client(words.at(0), words.at(1), words.at(2)).talk(std::stoi(words.at(3))); });
  if (command == "open") asyncio::run([&] { open(words); });
  if (command == "accept") asyncio::run([&] { accept(words); });
}
