// SPDX-License-Identifier: Apache-2.0
//
// What a cancellation costs, for each task: the request, the way out of its frames, its end, and the news to
// who waits for it.
//
// 1,000 tasks wait at once. Frames: functions between the task's function and its wait, each with a local
// object whose destructor runs on the way out. 0: the task only waits, so there is nothing to unwind. The
// yardstick is a throw through the same frames to a handler, on one stack.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "aiofiber/asyncio.h"

using namespace std::chrono_literals;
namespace aio = aiofiber;

namespace {

constexpr int kTasks = 1000;

template <class F>
__attribute__((noinline)) void through_frames(int frames, const F& innermost) {
  if (frames == 0) return innermost();
  struct Guard {
    volatile int* marked;
    ~Guard() { *marked = 1; }
  };
  volatile int mark = 0;
  const Guard guard{&mark};
  through_frames(frames - 1, innermost);
  benchmark::ClobberMemory();
}

void BM_ThrowAndCatch(benchmark::State& state) {
  const auto frames = static_cast<int>(state.range(0));
  bool throws = true;
  benchmark::DoNotOptimize(throws);
  for (auto _ : state) {
    try {
      through_frames(frames, [throws] {
        if (throws) throw std::runtime_error("yardstick");
      });
    } catch (const std::runtime_error&) {
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_ThrowAndCatch)->Arg(0)->Arg(1)->Arg(10);

// `wait` suspends the task; `frames` are around it.
template <class Wait>
void cancel_tasks(benchmark::State& state, int frames, const Wait& wait) {
  aio::run([&] {
    for (auto _ : state) {
      state.PauseTiming();
      std::vector<aio::Task<void>> tasks;
      tasks.reserve(kTasks);
      for (int i = 0; i < kTasks; ++i)
        tasks.push_back(aio::create_task([frames, &wait] { through_frames(frames, wait); }));
      aio::await(aio::sleep(0s));
      aio::await(aio::sleep(0s));
      state.ResumeTiming();
      for (auto& task : tasks) task.cancel();
      aio::await(aio::wait(tasks));
      state.PauseTiming();
      for (auto& task : tasks) {
        if (!task.cancelled()) std::abort();
      }
      tasks.clear();
      state.ResumeTiming();
    }
  });
  state.SetItemsProcessed(kTasks * static_cast<std::int64_t>(state.iterations()));
}

void BM_CancelSleeper(benchmark::State& state) {
  cancel_tasks(state, static_cast<int>(state.range(0)), [] { aio::await(aio::sleep(1000s)); });
}
BENCHMARK(BM_CancelSleeper)->Arg(0)->Arg(1)->Arg(10);

void BM_CancelWaiterForAFuture(benchmark::State& state) {
  const auto frames = static_cast<int>(state.range(0));
  cancel_tasks(state, frames, [] { aio::await(aio::get_running_loop().create_future<void>()); });
}
BENCHMARK(BM_CancelWaiterForAFuture)->Arg(0)->Arg(1)->Arg(10);

// Nothing has to be cleaned up in the frames of these tasks.
void BM_CancelWithoutUnwinding(benchmark::State& state) {
  aio::run([&] {
    for (auto _ : state) {
      state.PauseTiming();
      std::vector<aio::Future<void>> waits;
      std::vector<aio::Task<void>> tasks;
      for (int i = 0; i < kTasks; ++i) waits.push_back(aio::get_running_loop().create_future<void>());
      for (const auto& wait : waits) tasks.push_back(aio::create_task([&wait] { aio::await(wait); }));
      aio::await(aio::sleep(0s));
      aio::await(aio::sleep(0s));
      state.ResumeTiming();
      for (auto& task : tasks) task.cancel();
      aio::await(aio::wait(tasks));
      state.PauseTiming();
      tasks.clear();
      state.ResumeTiming();
    }
  });
  state.SetItemsProcessed(kTasks * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_CancelWithoutUnwinding);

void BM_CancelCoroutine(benchmark::State& state) {
  aio::run([&] {
    for (auto _ : state) {
      state.PauseTiming();
      std::vector<aio::Task<void>> tasks;
      tasks.reserve(kTasks);
      const auto sleeper = []() -> aio::Coro<void> { co_await aio::sleep(1000s); };
      for (int i = 0; i < kTasks; ++i) tasks.push_back(aio::create_task(sleeper()));
      aio::await(aio::sleep(0s));
      aio::await(aio::sleep(0s));
      state.ResumeTiming();
      for (auto& task : tasks) task.cancel();
      aio::await(aio::wait(tasks));
      state.PauseTiming();
      tasks.clear();
      state.ResumeTiming();
    }
  });
  state.SetItemsProcessed(kTasks * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_CancelCoroutine);

}  // namespace

BENCHMARK_MAIN();
