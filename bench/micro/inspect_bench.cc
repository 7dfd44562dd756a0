// SPDX-License-Identifier: Apache-2.0
//
// The costs of inspection: capturing a stack, symbolizing it, recording a throw and an await that passes it
// on, the watchdog.
//
// Goals: capture at most 30 ns a frame, a repeated symbolization at most 100 us, the first at most 50 ms;
// recording at most 5 % of a throw through 10 frames; the watchdog not measurable.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <array>
#include <stdexcept>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace {

namespace rt = aiofiber::runtime;
using aiofiber::await;

template <class F>
[[gnu::noinline]] void at_depth(int depth, F& body) {
  if (depth == 0) {
    body();
  } else {
    at_depth(depth - 1, body);
  }
  asm volatile("" ::: "memory");
}

void BM_CaptureFrame(benchmark::State& state) {
  std::array<std::uintptr_t, 128> addresses;
  std::size_t frames = 0;
  auto body = [&] {
    for (auto _ : state) frames += rt::unwind(rt::current_registers(), rt::current_stack_bounds(), addresses);
  };
  at_depth(30, body);
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
  state.counters["ns_per_frame"] = benchmark::Counter(
      static_cast<double>(frames) / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_CaptureFrame);

// Each iteration asks as the first one after a start does: a library that came and went makes the symbolizer
// forget the modules and their debug information.
void BM_SymbolizeFirst(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    void* const library = dlopen("libBrokenLocale.so.1", RTLD_NOW);  // a small one of libc's that nobody uses
    if (library == nullptr) {
      state.SkipWithError("no library to open");
      break;
    }
    dlclose(library);
    state.ResumeTiming();
    benchmark::DoNotOptimize(rt::symbolize(reinterpret_cast<std::uintptr_t>(&BM_SymbolizeFirst) + 8));
  }
}
BENCHMARK(BM_SymbolizeFirst)->Iterations(5)->Unit(benchmark::kMillisecond);

void BM_SymbolizeAgain(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(rt::symbolize(reinterpret_cast<std::uintptr_t>(&BM_SymbolizeAgain) + 8));
}
BENCHMARK(BM_SymbolizeAgain);

// Arguments: frames between throw and catch; whether the throw is recorded.
void BM_Throw(benchmark::State& state) {
  volatile bool wanted = true;  // g++ sees an endless recursion otherwise
  auto body = [&] {
    if (wanted) throw std::runtime_error("x");
  };
  rt::set_throw_tracing(state.range(1) != 0);
  for (auto _ : state) {
    try {
      at_depth(static_cast<int>(state.range(0)), body);
    } catch (const std::exception&) {
    }
  }
  rt::set_throw_tracing(true);
}
BENCHMARK(BM_Throw)->ArgsProduct({{1, 10, 30}, {0, 1}});

// A task 10 frames deep awaits a future that has failed: the exception is thrown on through them. The
// argument: recorded or not.
void BM_AwaitOfFailure(benchmark::State& state) {
  aiofiber::run([&] {
    auto future = aiofiber::get_running_loop().create_future();
    rt::set_throw_tracing(state.range(0) != 0);
    for (auto _ : state) {
      state.PauseTiming();  // a fresh exception, as each keeps a limited number of segments
      future = aiofiber::get_running_loop().create_future();
      future.set_exception(std::runtime_error("x"));
      state.ResumeTiming();
      auto body = [&] { await(future); };
      try {
        at_depth(10, body);
      } catch (const std::exception&) {
      }
    }
    rt::set_throw_tracing(true);
  });
}
BENCHMARK(BM_AwaitOfFailure)->Arg(0)->Arg(1);

// Two tasks take turns. The argument: whether the watchdog looks on, every 25 ms.
void BM_YieldWatched(benchmark::State& state) {
  aiofiber::run([&] {
    if (state.range(0) != 0) aiofiber::enable_watchdog();
    bool stop = false;
    auto other = aiofiber::create_task([&] {
      while (!stop) await(aiofiber::sleep(std::chrono::seconds(0)));
    });
    for (auto _ : state) await(aiofiber::sleep(std::chrono::seconds(0)));
    stop = true;
    await(other);
  });
}
BENCHMARK(BM_YieldWatched)->Arg(0)->Arg(1);

// A task is made and awaited. The argument: debug mode, which captures where it was made.
void BM_CreateTask(benchmark::State& state) {
  aiofiber::run([&] {
    aiofiber::get_running_loop().set_debug(state.range(0) != 0);
    for (auto _ : state) await(aiofiber::create_task([] {}));
    aiofiber::get_running_loop().set_debug(false);
  });
}
BENCHMARK(BM_CreateTask)->Arg(0)->Arg(1);

}  // namespace

BENCHMARK_MAIN();
