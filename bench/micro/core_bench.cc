// SPDX-License-Identifier: Apache-2.0
//
// The costs that decide whether a fiber is cheap: switch, yield, task, future, timeout, gather.
//
// Compare each result with BM_BoostFiberResume of the same run (bench/ratios.py prints the ratios): absolute
// times on a shared machine say little.
#include <benchmark/benchmark.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/switch.h"
#include "yardstick.h"

using namespace std::chrono_literals;

namespace {

// Costs of the machine, which are part of some operations: an empty poll, a look at the clock.
void BM_Poll(benchmark::State& state) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event;
  for (auto _ : state) epoll_wait(poll, &event, 1, 0);
  close(poll);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_Poll);
void BM_ClockLook(benchmark::State& state) {
  timespec now{};
  for (auto _ : state) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    benchmark::DoNotOptimize(now);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_ClockLook);

// Two fibers switch straight to each other: the switch with its bookkeeping (current fiber, exception state,
// the record's sequence lock and counters), without queue and polls.
void BM_RawSwitch(benchmark::State& state) {
  namespace rt = aiofiber::runtime;
  auto scheduler = rt::make_scheduler();
  struct Shared {
    rt::Scheduler* scheduler;
    benchmark::State* state;
    rt::ExceptionState* exceptions = rt::thread_exception_state();
    rt::Fiber* measured = nullptr;
    rt::Fiber* partner = nullptr;
    bool stop = false;
  } shared{scheduler.get(), &state};
  auto partner = [](rt::Fiber& self) noexcept {
    auto& s = *static_cast<Shared*>(self.owner);
    self.state = AIOFIBER_WAITING;
    s.scheduler->suspend();  // until the measured one switches here
    while (!s.stop) rt::switch_fibers(self, *s.measured, s.exceptions);
  };
  auto measured = [](rt::Fiber& self) noexcept {
    auto& s = *static_cast<Shared*>(self.owner);
    for (auto _ : *s.state) rt::switch_fibers(self, *s.partner, s.exceptions);
    s.stop = true;
    // The partner was left in the middle of a switch: let it see that it is over.
    s.partner->state = AIOFIBER_WAITING;
    s.scheduler->wake_fiber(*s.partner);
    s.scheduler->stop();
  };
  shared.partner = &scheduler->create_fiber(partner, &shared, 0, 0);
  shared.measured = &scheduler->create_fiber(measured, &shared, 0, 0);
  scheduler->make_ready(*shared.partner);
  scheduler->make_ready(*shared.measured);
  scheduler->run();
  scheduler->stop();
  scheduler->run();  // one pass: the partner ends
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_RawSwitch);

// Two fibers of the scheduler take turns: queue, pass and polls included.
void BM_SchedulerYield(benchmark::State& state) {
  namespace rt = aiofiber::runtime;
  auto scheduler = rt::make_scheduler();
  struct Shared {
    rt::Scheduler* scheduler;
    benchmark::State* state;
    rt::Fiber* partner = nullptr;
    bool stop = false;
  } shared{scheduler.get(), &state};
  auto partner = [](rt::Fiber& self) noexcept {
    auto& s = *static_cast<Shared*>(self.owner);
    while (!s.stop) s.scheduler->yield();
  };
  auto measured = [](rt::Fiber& self) noexcept {
    auto& s = *static_cast<Shared*>(self.owner);
    s.scheduler->yield();
    for (auto _ : *s.state) s.scheduler->yield();
    s.stop = true;
    s.scheduler->stop();
  };
  scheduler->make_ready(scheduler->create_fiber(measured, &shared, 0, 0));
  scheduler->make_ready(scheduler->create_fiber(partner, &shared, 0, 0));
  scheduler->run();
  scheduler->stop();
  scheduler->run();
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_SchedulerYield);

// await(sleep(0s)) of two tasks in turn, which await in different places: each switch ends in a mispredicted
// return.
void BM_YieldTwoTasks(benchmark::State& state) {
  asyncio::run([&] {
    bool stop = false;
    auto other = asyncio::create_task([&] {
      while (!stop) asyncio::await(asyncio::sleep(0s));
    });
    asyncio::await(asyncio::sleep(0s));
    for (auto _ : state) asyncio::await(asyncio::sleep(0s));
    stop = true;
    asyncio::await(other);
  });
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_YieldTwoTasks);

// await(sleep(0s)) of 1,000 tasks that all stand in the same place, as a server's do; per switch.
void BM_YieldThousandTasks(benchmark::State& state) {
  constexpr int kTasks = 1000;
  asyncio::run([&] {
    bool stop = false;
    std::vector<asyncio::Task<void>> others;
    for (int i = 0; i < kTasks; ++i) {
      others.push_back(asyncio::create_task([&] {
        while (!stop) asyncio::await(asyncio::sleep(0s));
      }));
    }
    asyncio::await(asyncio::sleep(0s));
    for (auto _ : state) asyncio::await(asyncio::sleep(0s));
    stop = true;
    for (auto& other : others) asyncio::await(other);
  });
  state.SetItemsProcessed((kTasks + 1) * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_YieldThousandTasks);

// Create 1,000 tasks, run them, await each.
void BM_CreateRunAwait(benchmark::State& state) {
  constexpr int kTasks = 1000;
  asyncio::run([&] {
    std::vector<asyncio::Task<int>> tasks;
    tasks.reserve(kTasks);
    for (auto _ : state) {
      for (int i = 0; i < kTasks; ++i) tasks.push_back(asyncio::create_task([i] { return i; }));
      int sum = 0;
      for (auto& task : tasks) sum += asyncio::await(task);
      benchmark::DoNotOptimize(sum);
      tasks.clear();
    }
  });
  state.SetItemsProcessed(kTasks * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_CreateRunAwait);

// A request and its answer through two futures between two tasks.
void BM_FutureRoundTrip(benchmark::State& state) {
  asyncio::run([&] {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    auto request = loop.create_future<int>();
    auto reply = loop.create_future<int>();
    auto server = asyncio::create_task([&] {
      for (;;) {
        const int value = asyncio::await(request);
        request = loop.create_future<int>();
        if (value < 0) return;
        reply.set_result(value);
      }
    });
    asyncio::await(asyncio::sleep(0s));
    for (auto _ : state) {
      request.set_result(1);
      benchmark::DoNotOptimize(asyncio::await(reply));
      reply = loop.create_future<int>();
    }
    request.set_result(-1);
    asyncio::await(server);
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_FutureRoundTrip);

// wait_for() around something that yields once and is in time.
void BM_WaitForInTime(benchmark::State& state) {
  asyncio::run([&] {
    for (auto _ : state) asyncio::await(asyncio::wait_for([] { asyncio::await(asyncio::sleep(0s)); }, 1000s));
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_WaitForInTime);

// gather() of 1,000 tasks that end at once; per task.
void BM_Gather1000(benchmark::State& state) {
  constexpr int kTasks = 1000;
  asyncio::run([&] {
    for (auto _ : state) {
      std::vector<asyncio::Task<int>> tasks;
      tasks.reserve(kTasks);
      for (int i = 0; i < kTasks; ++i) tasks.push_back(asyncio::create_task([i] { return i; }));
      benchmark::DoNotOptimize(asyncio::await(asyncio::gather(tasks)));
    }
  });
  state.SetItemsProcessed(kTasks * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_Gather1000);

}  // namespace

BENCHMARK_MAIN();
