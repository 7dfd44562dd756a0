// SPDX-License-Identifier: Apache-2.0
//
// Checks that operations of many tasks at once scale linearly: each is measured with n and with 2n waiters.
//
// Usage: scaling_bench [N]. It prints a line for each: both CPU times, and their ratio, which must not exceed
// 2.5. The least of several tries counts, because others use the machine too. Exit code 1: a ratio is too
// large.
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/numbers.h>

#include <ctime>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <sstream>
#include <vector>

#include "aiofiber/asyncio.h"

using namespace std::chrono_literals;

namespace {

using Tasks = std::vector<asyncio::Task<>>;

double cpu_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}
template <class F>
double timed(F f) {
  const double before = cpu_ms();
  f();
  return cpu_ms() - before;
}

template <class Wait>
Tasks suspended(std::size_t count, Wait wait) {
  Tasks tasks;
  tasks.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    tasks.push_back(asyncio::create_task({.stack_size = 32 * 1024}, wait));
  for (int i = 0; i < 4; ++i) asyncio::await(asyncio::sleep(0s));
  return tasks;
}

// Each gives the CPU time of what it is called after, of n waiters.
double event_set(std::size_t n) {
  asyncio::Event event;
  Tasks tasks = suspended(n, [&] { asyncio::await(event.wait()); });
  const double time = timed([&] { event.set(); });
  asyncio::await(asyncio::gather(tasks));
  return time;
}
double notify(std::size_t n, bool at_once) {
  asyncio::Condition condition;
  Tasks tasks = suspended(n, [&] {
    const std::lock_guard guard(condition);
    asyncio::await(condition.wait());
  });
  return timed([&] {
    {
      const std::lock_guard guard(condition);
      if (at_once) {
        condition.notify_all();
      } else {
        for (std::size_t i = 0; i < n; ++i) condition.notify(1);
      }
    }
    asyncio::await(asyncio::gather(tasks));
  });
}
double semaphore_release(std::size_t n) {
  asyncio::Semaphore semaphore(0);
  Tasks tasks = suspended(n, [&] { asyncio::await(semaphore.acquire()); });
  const double time = timed([&] {
    for (std::size_t i = 0; i < n; ++i) semaphore.release();
  });
  asyncio::await(asyncio::gather(tasks));
  return time;
}
double barrier(std::size_t n) {
  asyncio::Barrier parties(static_cast<std::ptrdiff_t>(n) + 1);
  Tasks tasks = suspended(n, [&] { asyncio::await(parties.wait()); });
  return timed([&] {
    asyncio::await(parties.wait());
    asyncio::await(asyncio::gather(tasks));
  });
}
double remove_callbacks(std::size_t n) {
  auto future = asyncio::get_running_loop().create_future<>();
  std::vector<asyncio::CallbackId> ids;
  for (std::size_t i = 0; i < n; ++i)
    ids.push_back(future.add_done_callback([](const asyncio::Future<>&) {}));
  return timed([&] {
    while (!ids.empty()) {
      future.remove_done_callback(ids.back());
      ids.pop_back();
    }
  });
}
double cancel_all(std::size_t n) {
  asyncio::Semaphore semaphore(0);
  Tasks tasks = suspended(n, [&] { asyncio::await(semaphore.acquire()); });
  return timed([&] {
    for (auto& task : tasks) task.cancel();
    for (std::size_t i = 0; i < n; ++i) semaphore.release();
    for (std::size_t i = 0; i < n; ++i) asyncio::await(semaphore.acquire());
    static_cast<void>(asyncio::await(asyncio::gather(asyncio::return_exceptions, tasks)));
  });
}
// What run() does at its end with tasks of which each waits for the one before it.
double end_of_run(std::size_t n, bool with_limits) {
  double before = 0;
  asyncio::run([&] {
    asyncio::Future<> last = asyncio::get_running_loop().create_future<>();
    for (std::size_t i = 0; i < n; ++i) {
      if (with_limits) {
        last = asyncio::ensure_future(asyncio::wait_for(last, 1h));
      } else {
        last = asyncio::create_task({.stack_size = 32 * 1024}, [last] { asyncio::await(last); });
      }
    }
    for (int i = 0; i < 4; ++i) asyncio::await(asyncio::sleep(0s));
    before = cpu_ms();
  });
  return cpu_ms() - before;
}
double wait_with_duplicates(std::size_t n) {
  std::vector<asyncio::Future<>> futures;
  for (std::size_t i = 0; i < n; ++i) {
    futures.push_back(asyncio::get_running_loop().create_future<>());
    futures.back().set_result();
  }
  for (std::size_t i = n; i-- > 0;) futures.push_back(futures[i]);
  return timed([&] { asyncio::await(asyncio::wait(futures)); });
}
double queue_shutdown(std::size_t n) {
  asyncio::Queue<int> queue;
  Tasks tasks = suspended(n, [&] {
    try {
      asyncio::await(queue.get());
    } catch (const asyncio::QueueShutDown&) {
    }
  });
  return timed([&] {
    queue.shutdown();
    asyncio::await(asyncio::gather(tasks));
  });
}

// Waits below 16 calls; by which of two lines each was made, `path` says.
[[gnu::noinline]] void wait_below(asyncio::Event& event, std::size_t path, int depth) {
  if (depth == 16) {
    asyncio::await(event.wait());
  } else if (path % 2 == 0) {
    wait_below(event, path / 2, depth + 1);
    asm volatile("nop" ::: "memory");
  } else {
    wait_below(event, path / 2, depth + 1);
    asm volatile("" ::: "memory");
  }
}
// Each task has a stack of its own, so no two are shown as one.
double dump_of_different_stacks(std::size_t n) {
  asyncio::Event event;
  std::size_t path = 0;
  Tasks tasks = suspended(n / 4, [&] { wait_below(event, path++, 0); });
  std::ostringstream out;
  const double time = timed([&] { asyncio::dump_tasks(out); });
  event.set();
  asyncio::await(asyncio::gather(tasks));
  return time;
}

struct Measure {
  const char* name;
  double (*run)(std::size_t);
  bool in_loop = true;
};

double time_of(const Measure& measure, std::size_t n) {
  if (!measure.in_loop) return measure.run(n);
  return asyncio::run([&] { return measure.run(n); });
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("operations of N (20,000) and of 2N tasks: scaling_bench [N]");
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  std::size_t count = 20'000;
  if (words.size() > 1 && !absl::SimpleAtoi(words[1], &count)) {
    std::fprintf(stderr, "usage: scaling_bench [N]\n");
    return 2;
  }
  const Measure measures[] = {
      {"Event.set()", event_set},
      {"Condition.notify_all()", [](std::size_t n) { return notify(n, true); }},
      {"Condition.notify(1), n times", [](std::size_t n) { return notify(n, false); }},
      {"Semaphore.release(), n times", semaphore_release},
      {"Barrier", barrier},
      {"remove_done_callback(), last first", remove_callbacks},
      {"cancel() of waiters, then acquire()", cancel_all},
      {"run()'s end, tasks in a chain", [](std::size_t n) { return end_of_run(n, false); }, false},
      {"run()'s end, wait_for() in a chain", [](std::size_t n) { return end_of_run(n, true); }, false},
      {"wait() for everything twice", wait_with_duplicates},
      {"Queue.shutdown()", queue_shutdown},
      {"dump_tasks(), n / 4 different stacks", dump_of_different_stacks},
  };
  int failures = 0;
  for (const Measure& measure : measures) {
    double once = 1e9;
    double twice = 1e9;
    double ratio = 1e9;
    for (int i = 0; i < 7 && (i < 3 || ratio > 2.5); ++i) {
      once = std::min(once, time_of(measure, count));
      twice = std::min(twice, time_of(measure, 2 * count));
      ratio = twice / once;
    }
    std::printf("%-36s n = %zu: %8.3f ms, 2n: %8.3f ms, ratio %.2f%s\n", measure.name, count, once, twice,
                ratio, ratio > 2.5 ? "  TOO LARGE" : "");
    std::fflush(stdout);
    if (ratio > 2.5) ++failures;
  }
  return failures == 0 ? 0 : 1;
}
