// SPDX-License-Identifier: Apache-2.0
//
// The cost of a call in a thread and in a task. The clock is the process's CPU time, which excludes waiting
// and other processes such as the servers. The cheapest of several rounds counts.
#include <aiofiber/asyncio.h>
#include <aiofiber/runtime/engine/fiber.h>
#include <aiofiber/runtime/engine/stack.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "client_table.h"

namespace aiofiber::clients_test {

namespace {

constexpr int kAtOnce = 100;
constexpr double kEnoughUs = 1e6;  // a phase that has taken so long in all is not repeated
constexpr int kRounds = 3;

double processor_us() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double wall_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Processor time of the cheapest round, a call. A round returns how many calls it made.
double cheapest(const std::function<int()>& round) {
  const double start = wall_us();
  double best = 0;
  for (int i = 0; i < kRounds && (i == 0 || wall_us() - start < kEnoughUs); ++i) {
    const double before = processor_us();
    const int calls = round();
    const double cost = (processor_us() - before) / calls;
    best = i == 0 ? cost : std::min(best, cost);
  }
  return best;
}

// How far down the stack of a task a call reaches: the free part is painted, and read again afterwards.
std::size_t stack_of(const std::function<bool()>& call) {
  constexpr unsigned char kPaint = 0xA5;
  std::size_t used = 0;
  asyncio::run([&] {
    asyncio::await(asyncio::create_task([&] {
      const runtime::StackBounds bounds = runtime::current_stack_bounds();
      // Below this frame, the red zone and the frame of the loop here.
      auto* const low = reinterpret_cast<volatile unsigned char*>(bounds.low);
      auto* const here = static_cast<volatile unsigned char*>(__builtin_frame_address(0)) - 1024;
      for (volatile unsigned char* byte = low; byte < here; ++byte) *byte = kPaint;
      call();
      const volatile unsigned char* deepest = low;
      while (deepest < here && *deepest == kPaint) ++deepest;
      used = bounds.high - reinterpret_cast<std::uintptr_t>(deepest);
    }));
  });
  return used;
}

}  // namespace

Costs measure_costs(const std::function<bool()>& call) {
  Costs costs;
  std::atomic<bool> all_right = true;
  const auto checked_call = [&] {
    if (!call()) all_right = false;
  };
  const auto in_a_thread = [&] {
    const double start = wall_us();
    int calls = 0;
    while (calls < kAtOnce && wall_us() - start < kEnoughUs) ++calls, checked_call();
    return calls;
  };
  const auto in_a_task = [&] { return asyncio::run(in_a_thread); };
  const auto in_threads = [&] {
    std::vector<std::thread> threads;
    for (int i = 0; i < kAtOnce; ++i) threads.emplace_back(checked_call);
    for (std::thread& thread : threads) thread.join();
    return kAtOnce;
  };
  const auto in_tasks = [&] {
    asyncio::run([&] {
      std::vector<asyncio::Task<void>> tasks;
      for (int i = 0; i < kAtOnce; ++i) tasks.push_back(asyncio::create_task(checked_call));
      asyncio::await(asyncio::gather(tasks));
    });
    return kAtOnce;
  };
  costs.thread_us = cheapest(in_a_thread);
  costs.task_us = cheapest(in_a_task);
  costs.threads_us = cheapest(in_threads);
  costs.tasks_us = cheapest(in_tasks);
#if !defined(__SANITIZE_ADDRESS__)  // which forbids painting, and makes frames larger than anybody's
  costs.stack_bytes = stack_of(call);
#endif
  costs.all_right = all_right;
  return costs;
}

}  // namespace aiofiber::clients_test
