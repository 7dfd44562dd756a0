// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a suspended task, with page tables, and the time of short tasks and of waves of suspended
// tasks.
//
// Usage: million_tasks [TASKS] [STACK_KIB]. Suspends TASKS tasks (default 1,000,000 on stacks of 64 KiB of
// address space, each with a guard) and compares VmRSS + VmPTE of /proc/self/status before and after. With a
// STACK_KIB of 0 they are coroutines, and wait for a future.
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/numbers.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"

using namespace std::chrono_literals;

namespace {

long status_kib(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field))
      return std::strtol(line.c_str() + std::string(field).size() + 1, nullptr, 10);
  }
  return 0;
}
long memory_kib() { return status_kib("VmRSS") + status_kib("VmPTE"); }
long page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}
asyncio::Coro<> wait_at(asyncio::Future<> gate) { co_await gate; }
double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("the bytes of a suspended task: million_tasks [TASKS] [STACK_KIB]");
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  long count = 1'000'000;
  long stack_kib = 64;
  if ((words.size() > 1 && !absl::SimpleAtoi(words[1], &count)) ||
      (words.size() > 2 && !absl::SimpleAtoi(words[2], &stack_kib))) {
    std::fprintf(stderr, "usage: million_tasks [TASKS] [STACK_KIB]\n");
    return 2;
  }
  asyncio::run([&] {
    auto start = std::chrono::steady_clock::now();
    constexpr long kShort = 100'000;
    long ended = 0;
    for (long i = 0; i < kShort; ++i) asyncio::create_task([&] { ++ended; }).detach();
    while (ended < kShort) asyncio::await(asyncio::sleep(0s));
    std::printf("%ld short tasks: %.3f s\n", kShort, seconds_since(start));

    // Waves, each of tasks that all suspend before the first one ends: their stacks should be in memory from
    // the second one on.
    constexpr int kWave = 10'000;
    for (int wave = 1; wave <= 3; ++wave) {
      const long faults = page_faults();
      start = std::chrono::steady_clock::now();
      std::vector<asyncio::Task<void>> tasks;
      for (int i = 0; i < kWave; ++i)
        tasks.push_back(asyncio::create_task([] { asyncio::await(asyncio::sleep(0s)); }));
      asyncio::await(asyncio::gather(tasks));
      std::printf("wave %d of %d tasks: %.2f us and %.2f page faults each\n", wave, kWave,
                  seconds_since(start) * 1e6 / kWave, static_cast<double>(page_faults() - faults) / kWave);
    }

    const long before = memory_kib();
    long awake = 0;
    start = std::chrono::steady_clock::now();
    const auto gate = asyncio::get_running_loop().create_future<>();
    for (long i = 0; i < count; ++i) {
      if (stack_kib == 0) {
        asyncio::create_task(wait_at(gate)).detach();
        if (i % 1000 == 999) asyncio::await(asyncio::sleep(0s));
        continue;
      }
      asyncio::create_task({.stack_size = static_cast<std::size_t>(stack_kib) * 1024}, [&awake] {
        asyncio::await(asyncio::sleep(3600s));
        ++awake;
      }).detach();
      if (i % 1000 == 999) asyncio::await(asyncio::sleep(0s));
    }
    asyncio::await(asyncio::sleep(0s));
    const double created = seconds_since(start);
    const long after = memory_kib();
    std::printf("%ld suspended tasks, %ld KiB stacks: %.2f s, %.3f KiB each (RSS + page tables)\n", count,
                stack_kib, created, static_cast<double>(after - before) / static_cast<double>(count));
    std::fflush(stdout);
    std::_Exit(awake == 0 ? 0 : 1);  // a million unwound stacks are another benchmark
  });
}
