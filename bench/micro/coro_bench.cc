// SPDX-License-Identifier: Apache-2.0
//
// Coroutines beside fibers: the same work, once in tasks with a stack and once in tasks without one.
//
// Compare the two results of a pair, and a co_await with the plain call, in the same run.
#include <benchmark/benchmark.h>

#include <vector>

#include "aiofiber/asyncio.h"

using namespace std::chrono_literals;

namespace {

// A function that allocates as much as the frame of number_in_coroutine() takes, and frees it.
__attribute__((noinline)) int number_in_call(int value) {
  constexpr std::size_t kFrameBytes = 112;
  void* const frame = ::operator new(kFrameBytes);
  benchmark::DoNotOptimize(frame);
  ::operator delete(frame);
  return value;
}
asyncio::Coro<int> number_in_coroutine(int value) { co_return value; }

void BM_PlainCallAndAllocation(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(number_in_call(1));
}
BENCHMARK(BM_PlainCallAndAllocation);

// co_await of a coroutine that completes at once.
void BM_CoAwaitOfACoro(benchmark::State& state) {
  asyncio::run([&]() -> asyncio::Coro<> {
    for (auto _ : state) benchmark::DoNotOptimize(co_await number_in_coroutine(1));
  });
}
BENCHMARK(BM_CoAwaitOfACoro);

// Two tasks resume each other through futures: one future, one set_result() and one resumption each way.
struct Mailbox {
  asyncio::Future<int> ping;
  asyncio::Future<int> pong;
};
void BM_FutureRoundTripOfFibers(benchmark::State& state) {
  asyncio::run([&] {
    auto& loop = asyncio::get_running_loop();
    Mailbox box{loop.create_future<int>(), {}};
    auto partner = asyncio::create_task([&] {
      while (asyncio::await(box.ping) != 0) {
        box.ping = loop.create_future<int>();
        box.pong.set_result(1);
      }
    });
    for (auto _ : state) {
      box.pong = loop.create_future<int>();
      box.ping.set_result(1);
      asyncio::await(box.pong);
    }
    box.ping.set_result(0);
    asyncio::await(partner);
  });
}
BENCHMARK(BM_FutureRoundTripOfFibers);

void BM_FutureRoundTripOfCoros(benchmark::State& state) {
  asyncio::run([&]() -> asyncio::Coro<> {
    auto& loop = asyncio::get_running_loop();
    Mailbox box{loop.create_future<int>(), {}};
    auto partner = asyncio::create_task([&]() -> asyncio::Coro<> {
      while (co_await box.ping != 0) {
        box.ping = loop.create_future<int>();
        box.pong.set_result(1);
      }
    });
    for (auto _ : state) {
      box.pong = loop.create_future<int>();
      box.ping.set_result(1);
      co_await box.pong;
    }
    box.ping.set_result(0);
    co_await partner;
  });
}
BENCHMARK(BM_FutureRoundTripOfCoros);

// Create, run and await a task that does nothing, while 1,000 others wait.
constexpr int kOthers = 1000;
void BM_CreateRunAwaitOfFibers(benchmark::State& state) {
  asyncio::run([&] {
    auto gate = asyncio::get_running_loop().create_future<int>();
    std::vector<asyncio::Task<int>> others;
    for (int i = 0; i < kOthers; ++i)
      others.push_back(asyncio::create_task([gate] { return asyncio::await(gate); }));
    asyncio::await(asyncio::sleep(0s));
    for (auto _ : state) benchmark::DoNotOptimize(asyncio::await(asyncio::create_task([] { return 1; })));
    gate.set_result(0);
    asyncio::await(asyncio::gather(std::move(others)));
  });
}
BENCHMARK(BM_CreateRunAwaitOfFibers);

asyncio::Coro<int> wait_at(asyncio::Future<int> gate) { co_return co_await gate; }

void BM_CreateRunAwaitOfCoros(benchmark::State& state) {
  asyncio::run([&]() -> asyncio::Coro<> {
    auto gate = asyncio::get_running_loop().create_future<int>();
    std::vector<asyncio::Task<int>> others;
    for (int i = 0; i < kOthers; ++i) others.push_back(asyncio::create_task(wait_at(gate)));
    co_await asyncio::sleep(0s);
    for (auto _ : state) benchmark::DoNotOptimize(co_await asyncio::create_task(number_in_coroutine(1)));
    gate.set_result(0);
    co_await asyncio::gather(std::move(others));
  });
}
BENCHMARK(BM_CreateRunAwaitOfCoros);

// A call on a borrowed stack, out of a coroutine.
void BM_CallOnABorrowedStack(benchmark::State& state) {
  asyncio::run([&]() -> asyncio::Coro<> {
    for (auto _ : state) benchmark::DoNotOptimize(co_await [] { return 1; });
  });
}
BENCHMARK(BM_CallOnABorrowedStack);

// A coroutine that a fiber awaits.
void BM_AwaitOfACoroInAFiber(benchmark::State& state) {
  asyncio::run([&] {
    for (auto _ : state) benchmark::DoNotOptimize(asyncio::await(number_in_coroutine(1)));
  });
}
BENCHMARK(BM_AwaitOfACoroInAFiber);

}  // namespace

BENCHMARK_MAIN();
