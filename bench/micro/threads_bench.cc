// SPDX-License-Identifier: Apache-2.0
//
// What threads hand to a loop: callbacks of one and of four threads, and a coroutine to an idle loop and
// back.
//
// The times are CPU time of the process, per callback: on a busy machine the wall clock says little. Compare
// each with BM_BoostFiberResume of the same run, as in core_bench.cc.
#include <benchmark/benchmark.h>

#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "yardstick.h"

namespace {

// `state.range(0)` threads post as fast as they can, and the loop runs what comes. The callable has `Bytes`.
template <std::size_t Bytes>
void BM_CallSoonThreadsafe(benchmark::State& state) {
  constexpr int kCallbacks = 200'000;
  struct Callable {
    long& seen;
    asyncio::Future<void>& done;
    unsigned char more[Bytes - 2 * sizeof(void*)];
    void operator()() const {
      if (++seen == kCallbacks) done.set_result();
    }
  };
  asyncio::run([&] {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    const int producers = static_cast<int>(state.range(0));
    for (auto _ : state) {
      long seen = 0;
      auto done = loop.create_future<void>();
      std::vector<std::thread> threads;
      for (int i = 0; i < producers; ++i) {
        threads.emplace_back([&] {
          for (int n = 0; n < kCallbacks / producers; ++n)
            loop.call_soon_threadsafe(Callable{seen, done, {}});
        });
      }
      asyncio::await(done);
      for (std::thread& thread : threads) thread.join();
    }
  });
  state.SetItemsProcessed(kCallbacks * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_CallSoonThreadsafe<16>)->Arg(1)->Arg(4)->MeasureProcessCPUTime();
BENCHMARK(BM_CallSoonThreadsafe<64>)->Arg(1)->Arg(4)->MeasureProcessCPUTime();

// A thread waits for each coroutine that it hands to an idle loop.
void BM_CoroutineAndBack(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    auto done = loop.create_future<void>();
    std::thread thread([&] {
      for (auto _ : state) asyncio::run_coroutine_threadsafe([] { return 1; }, loop).result();
      loop.call_soon_threadsafe([&] { done.set_result(); });
    });
    asyncio::await(done);
    thread.join();
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_CoroutineAndBack)->MeasureProcessCPUTime();

}  // namespace

BENCHMARK_MAIN();
