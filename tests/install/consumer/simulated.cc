// SPDX-License-Identifier: Apache-2.0
//
// Prints "simulated" if an hour of sleep, and a port that nobody listens on, are those of a simulation.
#include <aiofiber/simulation.h>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

int main() {
  using namespace std::chrono_literals;
  aiofiber::testing::Simulation sim;
  sim.node("server");
  bool refused = false;
  time_t slept = 0;
  sim.node("client").run([&] {
    addrinfo* list = nullptr;
    if (getaddrinfo("server", "80", nullptr, &list) != 0) return;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    refused = connect(fd, list->ai_addr, list->ai_addrlen) != 0 && errno == ECONNREFUSED;
    freeaddrinfo(list);
    close(fd);
    const time_t begin = time(nullptr);
    sleep(3600);
    slept = time(nullptr) - begin;
  });
  sim.run_for(2h);
  std::puts(refused && slept == 3600 ? "simulated" : "real");
}
