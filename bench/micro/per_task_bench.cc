// SPDX-License-Identifier: Apache-2.0
//
// What variables with a value per task cost: a switch between two tasks, and the life of a task, with so many
// bytes registered.
//
// A registration is for good, so the benchmarks run from few bytes to many; the first ones have none.
#include <benchmark/benchmark.h>

#include <cstddef>

#include "aiofiber/asyncio.h"
#include "aiofiber/hooks.h"

using namespace std::chrono_literals;

namespace {

// So many bytes in all, in two variables: most programs have a few of different sizes.
void register_bytes(std::size_t wanted) {
  static char memory[1 << 20];
  static std::size_t registered = 0;
  if (registered < wanted) {
    const std::size_t half = (wanted - registered) / 2;
    aiofiber::hooks::per_task(memory + registered, half);
    aiofiber::hooks::per_task(memory + registered + half, half);
    registered = wanted;
  }
}

// Two tasks take turns at the same place: each iteration is one switch.
void switch_of_tasks(benchmark::State& state) {
  register_bytes(static_cast<std::size_t>(state.range(0)));
  asyncio::run([&] {
    bool stop = false;
    const auto take_turns = [&](benchmark::State* measured) {
      if (measured == nullptr) {
        while (!stop) asyncio::await(asyncio::sleep(0s));
      } else {
        while (measured->KeepRunningBatch(2)) asyncio::await(asyncio::sleep(0s));
      }
    };
    auto partner = asyncio::create_task([&] { take_turns(nullptr); });
    take_turns(&state);
    stop = true;
    asyncio::await(partner);
  });
}
// A task that is created, runs and ends.
void life_of_a_task(benchmark::State& state) {
  register_bytes(static_cast<std::size_t>(state.range(0)));
  asyncio::run([&] {
    for (auto _ : state) asyncio::await(asyncio::create_task([] {}));
  });
}

[[maybe_unused]] const bool in_this_order = [] {
  for (const int bytes : {0, 64, 256, 1024, 8192, 65'536}) {
    benchmark::RegisterBenchmark("switch_of_tasks", switch_of_tasks)->Arg(bytes);
    benchmark::RegisterBenchmark("life_of_a_task", life_of_a_task)->Arg(bytes);
  }
  return true;
}();

}  // namespace

BENCHMARK_MAIN();
