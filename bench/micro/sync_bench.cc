// SPDX-License-Identifier: Apache-2.0
//
// What it costs when tasks hand over to each other: semaphore, lock, event, condition and queues, on stacks
// and as Coros.
//
// Compare each result with BM_BoostFiberResume of the same run, as in core_bench.cc.
#include <benchmark/benchmark.h>

#include "aiofiber/asyncio.h"
#include "yardstick.h"

using namespace std::chrono_literals;

namespace {

// Two tasks give each other a unit: two waits an iteration.
void BM_SemaphoreHandOver(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::Semaphore there(0), back(0);
    bool stop = false;
    auto other = asyncio::create_task([&] {
      for (;;) {
        asyncio::await(there.acquire());
        if (stop) return;
        back.release();
      }
    });
    for (auto _ : state) {
      there.release();
      asyncio::await(back.acquire());
    }
    stop = true;
    there.release();
    asyncio::await(other);
  });
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_SemaphoreHandOver);

// The same with a time limit on one of the two waits.
void BM_SemaphoreHandOverWithLimit(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::Semaphore there(0), back(0);
    bool stop = false;
    auto other = asyncio::create_task([&] {
      for (;;) {
        asyncio::await(there.acquire());
        if (stop) return;
        back.release();
      }
    });
    for (auto _ : state) {
      there.release();
      asyncio::await(asyncio::wait_for(back.acquire(), 1000s));
    }
    stop = true;
    there.release();
    asyncio::await(other);
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_SemaphoreHandOverWithLimit);

// Two tasks hold a lock over a yield, in turn.
void BM_LockOverYield(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::Lock lock;
    bool stop = false;
    auto other = asyncio::create_task([&] {
      while (!stop) {
        asyncio::await(lock.acquire());
        asyncio::await(asyncio::sleep(0s));
        lock.release();
      }
    });
    for (auto _ : state) {
      asyncio::await(lock.acquire());
      asyncio::await(asyncio::sleep(0s));
      lock.release();
    }
    stop = true;
    asyncio::await(other);
  });
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_LockOverYield);

// Two tasks set an event for each other.
void BM_EventHandOver(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::Event there, back;
    bool stop = false;
    auto other = asyncio::create_task([&] {
      for (;;) {
        asyncio::await(there.wait());
        there.clear();
        if (stop) return;
        back.set();
      }
    });
    for (auto _ : state) {
      there.set();
      asyncio::await(back.wait());
      back.clear();
    }
    stop = true;
    there.set();
    asyncio::await(other);
  });
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_EventHandOver);

// One task puts, the other gets, through a queue of state.range(0) items.
void BM_Queue(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::Queue<long> queue(state.range(0));
    auto producer = asyncio::create_task([&] {
      for (auto _ : state) asyncio::await(queue.put(1));
      asyncio::await(queue.put(0));
    });
    while (asyncio::await(queue.get()) != 0) {
    }
    asyncio::await(producer);
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_Queue)->Arg(1)->Arg(1024);

// The same as C++20 coroutines on the loop's stack.
asyncio::Coro<void> produce(asyncio::Queue<long>& queue, benchmark::State& state) {
  for (auto _ : state) co_await queue.put(1);
  co_await queue.put(0);
}
asyncio::Coro<void> consume(asyncio::Queue<long>& queue) {
  for (long item = 1; item != 0;) item = co_await queue.get();
}
void BM_QueueOfCoros(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::Queue<long> queue(state.range(0));
    asyncio::await(asyncio::gather(produce(queue, state), consume(queue)));
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_QueueOfCoros)->Arg(1)->Arg(1024);

}  // namespace

BENCHMARK_MAIN();
