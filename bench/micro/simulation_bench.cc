// SPDX-License-Identifier: Apache-2.0
//
// What a simulation costs: messages between machines (two a round), connections, and days without work.
#include <benchmark/benchmark.h>
#include <netinet/in.h>

#include <chrono>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"

namespace {

using namespace std::chrono_literals;
namespace sim = aiofiber::testing;
using namespace aiofiber::testing::test;

void messages(benchmark::State& state) {
  constexpr int kRounds = 10'000;
  std::int64_t done = 0;
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    simulation.node("server").run([] {
      const Fd listener = listen_on(7);
      const Fd connection(::accept(listener.get(), nullptr, nullptr));
      char buffer[64];
      for (ssize_t n; (n = ::recv(connection.get(), buffer, sizeof buffer, 0)) > 0;)
        ::send(connection.get(), buffer, static_cast<std::size_t>(n), 0);
    });
    simulation.node("client").run([&done] {
      const Fd connection = connect_to("server", 7);
      char buffer[64];
      for (int i = 0; i < kRounds; ++i) {
        ::send(connection.get(), "sixteen bytes...", 16, 0);
        if (::recv(connection.get(), buffer, sizeof buffer, 0) != 16) return;
        done += 2;
      }
    });
    simulation.run_for(1h);
  }
  if (done != static_cast<std::int64_t>(state.iterations()) * 2 * kRounds)
    state.SkipWithError("lost messages");
  state.SetItemsProcessed(done);
}
BENCHMARK(messages)->Unit(benchmark::kMillisecond);

// As messages(), by datagrams.
void datagrams(benchmark::State& state) {
  constexpr int kRounds = 10'000;
  std::int64_t done = 0;
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    const auto bound = [](std::uint16_t port) {
      Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
      sockaddr_in own{};
      own.sin_family = AF_INET;
      own.sin_port = htons(port);
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own);
      return socket;
    };
    simulation.node("server").run([&bound] {
      const Fd socket = bound(7);
      char buffer[64];
      sockaddr_in from{};
      socklen_t length = sizeof from;
      auto* const address = reinterpret_cast<sockaddr*>(&from);
      for (ssize_t n; (n = ::recvfrom(socket.get(), buffer, sizeof buffer, 0, address, &length)) > 0;)
        ::sendto(socket.get(), buffer, static_cast<std::size_t>(n), 0, address, length);
    });
    simulation.node("client").run([&bound, &done] {
      const Fd socket = bound(8);
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(7);
      to.sin_addr.s_addr = htonl(0x0a000001);
      char buffer[64];
      for (int i = 0; i < kRounds; ++i) {
        ::sendto(socket.get(), "sixteen bytes...", 16, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
        if (::recv(socket.get(), buffer, sizeof buffer, 0) != 16) return;
        done += 2;
      }
    });
    simulation.run_for(1h);
  }
  if (done != static_cast<std::int64_t>(state.iterations()) * 2 * kRounds)
    state.SkipWithError("lost datagrams");
  state.SetItemsProcessed(done);
}
BENCHMARK(datagrams)->Unit(benchmark::kMillisecond);

void connections(benchmark::State& state) {
  constexpr int kConnections = 1000;
  std::int64_t done = 0;
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    simulation.node("server").run([] { echo_server(7); });
    simulation.node("client").run([&done] {
      for (int i = 0; i < kConnections; ++i) done += ask("server", 7, "hello") == "hello" ? 1 : 0;
    });
    simulation.run_for(1h);
  }
  state.SetItemsProcessed(done);
}
BENCHMARK(connections)->Unit(benchmark::kMillisecond);

// A day in which each of two machines wakes up once a second.
void idle_day(benchmark::State& state) {
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    for (const char* const name : {"a", "b"}) {
      simulation.node(name).run([] {
        for (;;) ::sleep(1);
      });
    }
    simulation.run_for(24h);
  }
}
BENCHMARK(idle_day)->Unit(benchmark::kMillisecond);

// Two machines and nothing else: what a seed costs at least.
void empty_simulation(benchmark::State& state) {
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    simulation.node("a");
    simulation.node("b");
    simulation.run_for(1s);
  }
}
BENCHMARK(empty_simulation)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
