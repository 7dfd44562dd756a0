// SPDX-License-Identifier: Apache-2.0
//
// What a simulation costs: messages between machines (two a round), connections, and days without work.
#include <benchmark/benchmark.h>
#include <netinet/in.h>

#include <chrono>
#include <vector>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"

namespace {

using namespace std::chrono_literals;
namespace sim = aiofiber::testing;
using namespace aiofiber::testing::test;

// Rounds of a question and its answer between two machines, each by a message of sixteen bytes. `open` and
// `send` are the client's.
void rounds(benchmark::State& state, void (*serve)(), Fd (*open)(), ssize_t (*send)(const Fd&)) {
  constexpr int kRounds = 10'000;
  std::int64_t done = 0;
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    simulation.node("server").run(serve);
    simulation.node("client").run([&] {
      const Fd socket = open();
      char buffer[64];
      for (int i = 0; i < kRounds; ++i) {
        send(socket);
        if (::recv(socket.get(), buffer, sizeof buffer, 0) != 16) return;
        done += 2;
      }
    });
    simulation.run_for(1h);
  }
  if (done != static_cast<std::int64_t>(state.iterations()) * 2 * kRounds)
    state.SkipWithError("lost messages");
  state.SetItemsProcessed(done);
}

void messages(benchmark::State& state) {
  const auto serve = [] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    char buffer[64];
    for (ssize_t n; (n = ::recv(connection.get(), buffer, sizeof buffer, 0)) > 0;)
      ::send(connection.get(), buffer, static_cast<std::size_t>(n), 0);
  };
  rounds(
      state, serve, [] { return connect_to("server", 7); },
      [](const Fd& socket) { return ::send(socket.get(), "sixteen bytes...", 16, 0); });
}
BENCHMARK(messages)->Unit(benchmark::kMillisecond);

// As messages(), by datagrams.
Fd bound_udp(std::uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(port);
  ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own);
  return socket;
}
void datagrams(benchmark::State& state) {
  const auto send = [](const Fd& socket) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(7);
    to.sin_addr.s_addr = htonl(0x0a000001);
    return ::sendto(socket.get(), "sixteen bytes...", 16, 0, reinterpret_cast<const sockaddr*>(&to),
                    sizeof to);
  };
  rounds(
      state, [] { echo_datagrams(bound_udp(7)); }, [] { return bound_udp(8); }, send);
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

// Connections that are all open in the end: what each costs does not depend on their number.
void open_connections(benchmark::State& state) {
  const auto count = static_cast<int>(state.range(0));
  std::int64_t done = 0;
  for (auto _ : state) {
    sim::Simulation simulation({.seed = 1});
    simulation.node("server").run([count] {
      const Fd listener = listen_on(7);
      std::vector<Fd> open;
      for (int i = 0; i < count; ++i) open.emplace_back(::accept(listener.get(), nullptr, nullptr));
      ::sleep(60);
    });
    simulation.node("client").run([&done, count] {
      std::vector<Fd> open;
      for (int i = 0; i < count; ++i) {
        open.push_back(connect_to("server", 7));
        done += open.back() ? 1 : 0;
      }
      ::sleep(60);
    });
    simulation.run_for(10min);
  }
  // Each has two ends, and each end is a pair of descriptors.
  if (done != static_cast<std::int64_t>(state.iterations()) * count)
    state.SkipWithError("too few descriptors: ulimit -n 50000");
  state.SetItemsProcessed(done);
}
BENCHMARK(open_connections)->Arg(1000)->Arg(4000)->Arg(10'000)->Unit(benchmark::kMillisecond);

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
