// SPDX-License-Identifier: Apache-2.0
//
// What an item costs on its way through a Channel: in one loop, between two loops, from a plain thread; and
// through a Queue in one loop. A call to a pool of workers and back.
//
// Between loops both are busy at the same time: the CPU time of the process counts both. Compare with
// BM_BoostFiberResume of the same run, as in core_bench.cc.
#include <benchmark/benchmark.h>

#include <thread>

#include "aiofiber/asyncio.h"
#include "yardstick.h"

namespace {

constexpr int kItems = 100'000;

template <class Q>
void produce(Q& queue) {
  for (int i = 0; i < kItems; ++i) asyncio::await(queue.put(i));
}
template <class Q>
void consume(Q& queue) {
  for (int i = 0; i < kItems; ++i) benchmark::DoNotOptimize(asyncio::await(queue.get()));
}

// Two tasks of one loop. Arg: the room.
template <class Q>
void BM_OneLoop(benchmark::State& state) {
  asyncio::run([&] {
    for (auto _ : state) {
      Q queue(state.range(0));
      asyncio::await(asyncio::gather([&] { produce(queue); }, [&] { consume(queue); }));
    }
  });
  state.SetItemsProcessed(kItems * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_OneLoop<asyncio::Queue<int>>)->Arg(1)->Arg(64)->MeasureProcessCPUTime();
BENCHMARK(BM_OneLoop<asyncio::Channel<int>>)->Arg(1)->Arg(64)->MeasureProcessCPUTime();

// A task of one loop puts, a task of another gets.
void BM_TwoLoops(benchmark::State& state) {
  for (auto _ : state) {
    asyncio::Channel<int> channel(state.range(0));
    std::thread producer([&] { asyncio::run([&] { produce(channel); }); });
    asyncio::run([&] { consume(channel); });
    producer.join();
  }
  state.SetItemsProcessed(kItems * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_TwoLoops)->Arg(1)->Arg(64)->Arg(1024)->MeasureProcessCPUTime()->UseRealTime();

// An item there and one back: each loop sleeps until the other has answered.
void BM_ThereAndBack(benchmark::State& state) {
  asyncio::Channel<int> there(1), back(1);
  std::thread other([&] {
    asyncio::run([&] {
      try {
        for (;;) asyncio::await(back.put(asyncio::await(there.get())));
      } catch (const asyncio::QueueShutDown&) {
      }
    });
  });
  asyncio::run([&] {
    for (auto _ : state) {
      asyncio::await(there.put(1));
      benchmark::DoNotOptimize(asyncio::await(back.get()));
    }
    there.shutdown();
  });
  other.join();
}
BENCHMARK(BM_ThereAndBack)->MeasureProcessCPUTime()->UseRealTime();

// A call in a loop of the pool, and its result.
void BM_Submit(benchmark::State& state) {
  asyncio::Workers workers({.loops = 1});
  asyncio::run([&] {
    for (auto _ : state) benchmark::DoNotOptimize(asyncio::await(workers.submit([] { return 1; })));
  });
}
BENCHMARK(BM_Submit)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
