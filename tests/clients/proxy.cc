// SPDX-License-Identifier: Apache-2.0
//
// Each connection has two tasks, one for the client's data and one for the server's.
#include "proxy.h"

#include <aiofiber/asyncio.h>
#include <netinet/tcp.h>

#include <chrono>

#include "connected_socket.h"

namespace aiofiber::clients_test {

using namespace std::chrono_literals;

namespace {

bool send_all(int to, const char* data, std::size_t length) {
  return ::send(to, data, length, MSG_NOSIGNAL) == static_cast<ssize_t>(length);
}

bool pass_on(Network network, bool from_server, int to, const char* data, std::size_t length) {
  if (network == Network::MUTE && from_server) return true;
  if (network == Network::SLOW) asyncio::await(asyncio::sleep(20ms));
  if (network == Network::LATE && from_server) asyncio::await(asyncio::sleep(1s));
  if (network != Network::BYTE_BY_BYTE) return send_all(to, data, length);
  for (std::size_t i = 0; i < length; ++i) {
    if (!send_all(to, data + i, 1)) return false;
    asyncio::await(asyncio::sleep(0s));  // the other direction's turn
  }
  return true;
}

// Until one side closes; then both are told.
void pump(Network network, bool from_server, int from, int to) {
  char piece[16384];
  for (ssize_t length; (length = ::recv(from, piece, sizeof piece, 0)) > 0;) {
    if (!pass_on(network, from_server, to, piece, static_cast<std::size_t>(length))) break;
  }
  ::shutdown(to, SHUT_RDWR);
  ::shutdown(from, SHUT_RDWR);
}

}  // namespace

Proxy::Proxy(Network network, int server_port)
    : network_(network), server_port_(server_port), thread_([this] { serve(); }) {}

Proxy::~Proxy() {
  ::shutdown(listener_.fd(), SHUT_RDWR);  // accept() fails, and run() cancels the connections
  thread_.join();
}

void Proxy::serve() {
  asyncio::run([this] {
    for (int client; (client = ::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      asyncio::create_task([this, client] { connect_through(client); }).detach();
    }
  });
}

void Proxy::connect_through(int accepted) {
  const ConnectedSocket client = ConnectedSocket::adopt(accepted);
  const ConnectedSocket server(server_port_);
  if (server.fd() < 0) return;
  const int one = 1;
  for (const int fd : {client.fd(), server.fd()})
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& both) {
    both.create_task([&] { pump(network_, true, server.fd(), client.fd()); }).detach();
    both.create_task([&] { pump(network_, false, client.fd(), server.fd()); }).detach();
  }));
}

}  // namespace aiofiber::clients_test
