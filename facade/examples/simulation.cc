// SPDX-License-Identifier: Apache-2.0
//
// A blocking client and a blocking server on two simulated machines, for a day, in some milliseconds. At noon
// the network is cut for two minutes, and in the evening the server is killed. The client must not notice
// more than a few failed attempts. Beside it, the server sends a datagram each minute; nobody repeats those
// that are lost.
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>

#include "aiofiber/simulation.h"

namespace {

// ---- the program under test: it knows nothing of simulations

void serve(std::uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 8) != 0)
    return;
  for (;;) {
    const int connection = accept(listener, nullptr, nullptr);
    char request[5];
    if (recv(connection, request, sizeof request, MSG_WAITALL) == sizeof request)
      send(connection, "pong\n", 5, MSG_NOSIGNAL);
    close(connection);
  }
}

// Whether the server answers within five seconds.
bool ping(const char* host, const char* port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(host, port, &hints, &list) != 0) return false;
  const int connection = socket(list->ai_family, list->ai_socktype, 0);
  const timeval limit{5, 0};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  char answer[5] = "";
  const bool ok = connect(connection, list->ai_addr, list->ai_addrlen) == 0 &&
                  send(connection, "ping\n", 5, MSG_NOSIGNAL) == 5 &&
                  recv(connection, answer, sizeof answer, MSG_WAITALL) == 5 &&
                  std::memcmp(answer, "pong\n", 5) == 0;
  freeaddrinfo(list);
  close(connection);
  return ok;
}

void watch(const char* host) {
  bool was_up = true;
  for (;;) {
    const bool up = ping(host, "7000");
    if (up != was_up) {
      const std::time_t now = std::time(nullptr);
      char text[16];
      std::strftime(text, sizeof text, "%H:%M", std::gmtime(&now));
      std::printf("%s the server is %s\n", text, up ? "up" : "down");
    }
    was_up = up;
    sleep(30);
  }
}

sockaddr_in address_of(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (host != nullptr) inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

void send_beacons(const char* host) {
  const int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
  const sockaddr_in to = address_of(host, 7001);
  for (;;) {
    sendto(socket_fd, "alive", 5, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    sleep(60);
  }
}

void count_beacons(int& count) {
  const int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
  const sockaddr_in own = address_of(nullptr, 7001);
  if (bind(socket_fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) return;
  char beacon[16];
  while (recv(socket_fd, beacon, sizeof beacon, 0) > 0) ++count;
}

}  // namespace

// ---- its world

int main() {
  using namespace std::chrono_literals;
  aiofiber::testing::Simulation sim({.seed = 42});
  auto server = sim.node("server");
  server.run([] { serve(7000); });
  auto monitor = sim.node("monitor");
  monitor.run([] { watch("server"); });
  int beacons = 0;
  monitor.run([&] { count_beacons(beacons); });
  server.run([&] { send_beacons(monitor.address().c_str()); });
  sim.link("monitor", "server", {.latency = aiofiber::testing::uniform(1ms, 40ms), .split = true});

  sim.at(12h, [&] { sim.partition("monitor", "server"); });
  sim.at(12h + 2min, [&] { sim.heal(); });
  sim.at(20h, [&] { server.kill(); });
  sim.at(20h + 10min, [&] { server.restart(); });
  sim.run_for(24h);
  std::printf("a day is over; %d beacons came\n", beacons);
}
