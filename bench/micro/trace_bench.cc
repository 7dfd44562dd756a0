// SPDX-License-Identifier: Apache-2.0
//
// The cost of a trace while it is written: tasks that answer each other over socket pairs, and tasks that
// only switch.
//
// Compare BM_...Traced with the benchmark of the same name in the same run. The file goes to /dev/null, so
// the writer's thread counts and the disk does not. `lost` is the share of events that came faster than that
// thread could write.
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/debug.h"
#include "aiofiber/runtime/engine/fd_wait.h"

using namespace std::chrono_literals;

namespace {

class Traced {
 public:
  Traced(benchmark::State& state, bool on) : state_(state), on_(on) {
    if (on) aiofiber::start_trace("/dev/null");
  }
  ~Traced() {
    if (!on_) return;
    state_.counters["lost"] =
        static_cast<double>(aiofiber::stop_trace()) / static_cast<double>(state_.iterations());
  }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

 private:
  benchmark::State& state_;
  const bool on_;
};

bool receive(int fd, char* byte) {
  for (;;) {
    const ssize_t got = recv(fd, byte, 1, MSG_DONTWAIT);
    if (got == 1) return true;
    if (got == 0 || errno != EAGAIN) return false;
    aiofiber::runtime::fd_wait(fd, aiofiber::runtime::kReadable);
  }
}

// Pairs of tasks; an iteration is one request and its answer on each pair.
void ping_pong(benchmark::State& state, bool traced) {
  const auto pairs = static_cast<std::size_t>(state.range(0));
  std::vector<std::array<int, 2>> sockets(pairs);
  for (auto& pair : sockets) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
      return state.SkipWithError("no socket pair");
  }
  asyncio::run([&] {
    std::vector<asyncio::Task<void>> servers;
    for (const auto& pair : sockets) {
      servers.push_back(asyncio::create_task([fd = pair[1]] {
        for (char byte; receive(fd, &byte);) send(fd, &byte, 1, 0);
      }));
    }
    asyncio::await(asyncio::sleep(0s));
    {
      const Traced trace(state, traced);
      for (auto _ : state) {
        for (const auto& pair : sockets) send(pair[0], "x", 1, 0);
        char byte = 0;
        for (const auto& pair : sockets) receive(pair[0], &byte);
      }
    }
    for (const auto& pair : sockets) close(pair[0]);
    for (auto& server : servers) asyncio::await(server);
  });
  for (const auto& pair : sockets) close(pair[1]);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(pairs));
}
void BM_Echo(benchmark::State& state) { ping_pong(state, false); }
void BM_EchoTraced(benchmark::State& state) { ping_pong(state, true); }
BENCHMARK(BM_Echo)->Arg(1)->Arg(32);
BENCHMARK(BM_EchoTraced)->Arg(1)->Arg(32);

// The worst case: nothing but switches.
void yield(benchmark::State& state, bool traced) {
  asyncio::run([&] {
    bool stop = false;
    auto other = asyncio::create_task([&] {
      while (!stop) asyncio::await(asyncio::sleep(0s));
    });
    asyncio::await(asyncio::sleep(0s));
    {
      const Traced trace(state, traced);
      for (auto _ : state) asyncio::await(asyncio::sleep(0s));
    }
    stop = true;
    asyncio::await(other);
  });
}
void BM_Yield(benchmark::State& state) { yield(state, false); }
void BM_YieldTraced(benchmark::State& state) { yield(state, true); }
BENCHMARK(BM_Yield);
BENCHMARK(BM_YieldTraced);

}  // namespace

BENCHMARK_MAIN();
