// SPDX-License-Identifier: Apache-2.0
//
// A client and a server with TLS: whom the client trusts, and what it says of a server that it does not know.
//
// The server's certificate is made by the command openssl, and signed by itself: a client that shall trust it
// must be told so. A client of a server in the internet needs no such file.
#include <aiofiber/asyncio.h>
#include <stdlib.h>

#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

static void make_certificate(const std::string& file) {
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
      " -addext subjectAltName=DNS:localhost -addext keyUsage=critical,digitalSignature,keyCertSign";
  const auto openssl = asyncio::await(asyncio::create_subprocess_shell(
      command + " -keyout " + file + " -out " + file + ".crt", {.stderr_ = asyncio::subprocess::DEVNULL}));
  if (asyncio::await(openssl.wait()) != 0) throw std::runtime_error("the command openssl failed");
}

static void handle_echo(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  const std::string message = asyncio::await(reader.readline());
  std::cout << "server: received " << message;
  writer.write(message);
  asyncio::await(writer.drain());
  writer.close();
}

static void client(int port, const asyncio::SslContext& context) {
  try {
    auto [reader, writer] = asyncio::await(
        asyncio::open_connection("127.0.0.1", port, {.ssl = context, .server_hostname = "localhost"}));
    const auto certificate = writer.get_extra_info(asyncio::extra_info::peercert).value();
    std::cout << "client: " << writer.get_extra_info(asyncio::extra_info::ssl_version).value() << " with "
              << certificate.subject.at(0).second << '\n';
    writer.write("Hello World!\n");
    const std::string answer = asyncio::await(reader.read());
    std::cout << "client: received " << answer;
    writer.close();
    asyncio::await(writer.wait_closed());
  } catch (const asyncio::SSLCertVerificationError& error) {
    std::cout << "client: " << error.reason() << ", " << error.verify_message() << '\n';
  }
}

static void talk(const std::string& file) {
  make_certificate(file);
  const auto serving =
      asyncio::SslContext::create_default_context({.purpose = asyncio::Purpose::CLIENT_AUTH});
  serving.load_cert_chain(file + ".crt", file);
  asyncio::Server server =
      asyncio::await(asyncio::start_server(handle_echo, "127.0.0.1", 0, {.ssl = serving}));
  asyncio::await(server.with([&] {
    const int port = server.sockets().at(0).port();
    client(port, asyncio::SslContext::create_default_context({.cafile = file + ".crt"}));
    client(port, asyncio::SslContext::create_default_context());
  }));
}

int main() {
  char folder[] = "/tmp/tls_client_XXXXXX";
  if (::mkdtemp(folder) == nullptr) return 1;
  asyncio::run([&] { talk(std::string(folder) + "/key"); });
  std::filesystem::remove_all(folder);
}
