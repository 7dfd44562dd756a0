// SPDX-License-Identifier: Apache-2.0
//
// A hundred tasks for a day of virtual time: they sleep, lock, queue, wait with limits, cancel, and make
// groups. No timer is late, and the heap in the last hour is what it was in the second.
// AIOFIBER_SOAK_DAYS=30 in the environment makes it a month.
// Labels: slow
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <mutex>

#include "aiofiber/runtime/engine/choice.h"
#include "aiofiber/testing.h"
#include "explore/scenario.h"
#include "support/keep_books.h"

namespace aiofiber::explored {
namespace {

struct Shared {
  Lock lock;
  Semaphore semaphore{3};
  Queue<int> queue{5};
  int inside = 0;
  std::uint64_t steps = 0;
};

void exact_sleep(Duration duration) {
  const EventLoop& loop = get_running_loop();
  const TimePoint before = loop.time();
  await(sleep(duration));
  must(loop.time() - before == duration, "no sleep is late");
}

void one_step(Shared& shared, runtime::SeededChooser& random) {
  const auto some_time = [&random] { return Duration(std::chrono::milliseconds(1 + random.choose(60'000))); };
  ++shared.steps;
  switch (random.choose(8)) {
    case 0: {
      const std::unique_lock guard(shared.lock);
      const Inside here(shared.inside);
      yield();
      break;
    }
    case 1: {
      const std::unique_lock guard(shared.semaphore);
      await(sleep(10ms));
      break;
    }
    case 2:
      if (!shared.queue.full()) shared.queue.put_nowait(1);
      break;
    case 3:
      if (!shared.queue.empty()) shared.queue.get_nowait();
      break;
    case 4:
      try {
        await(wait_for([&] { await(sleep(some_time())); }, 5s));
      } catch (const TimeoutError&) {
      }
      break;
    case 5: {
      const Task<> child = create_task([] { await(sleep(1h)); });
      try {
        await(sleep(1s));
      } catch (const CancelledError&) {
        child.cancel();
        throw;
      }
      child.cancel();
      await(wait(std::vector{child}));
      break;
    }
    case 6:
      await(task_group([&](TaskGroup& tg) {
        for (int i = 0; i < 2; ++i) tg.create_task([time = some_time()] { await(sleep(time)); });
      }));
      break;
    default:
      await(gather([] { yield(); }, [] { yield(); }));
  }
  exact_sleep(some_time());
}

// The mean of a look every second, in bytes: what the tasks hold at one moment says little.
std::size_t heap_in_an_hour() {
  std::size_t sum = 0;
  for (int i = 0; i < 3600; ++i) {
    exact_sleep(1s);
    sum += ::mallinfo2().uordblks;
  }
  return sum / 3600;
}

TEST(Soak, ADayOfAHundredTasks) {
  const char* const days_wanted = std::getenv("AIOFIBER_SOAK_DAYS");
  const int days = days_wanted != nullptr ? std::atoi(days_wanted) : 1;
  Shared shared;
  std::size_t after_an_hour = 0;
  std::size_t at_the_end = 0;
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    std::vector<Task<>> tasks;
    for (std::uint64_t i = 0; i < 100; ++i) {
      tasks.push_back(create_task([&shared, i] {
        runtime::SeededChooser random(i);
        for (;;) one_step(shared, random);
      }));
    }
    exact_sleep(1h);
    after_an_hour = heap_in_an_hour();
    exact_sleep(std::chrono::hours(24 * days - 3));
    at_the_end = heap_in_an_hour();
    for (const Task<>& task : tasks) task.cancel();
    await(wait(tasks));
    for (const Task<>& task : tasks) EXPECT_TRUE(task.cancelled());
  });
  EXPECT_EQ(shared.inside, 0);
  EXPECT_EQ(loop.live_timers(), 0u);
  loop.close();
  std::cout << "soak: " << days << " days, " << shared.steps << " steps, heap " << after_an_hour << " B and "
            << at_the_end << " B\n";
  EXPECT_GT(shared.steps, 100'000u);
  // A sanitizer's heap is not malloc's: both are 0. Twenty bytes a task are not seen as a leak: the numbers
  // in names get longer, and malloc may give a chunk that is a little larger. (After 30 days: 18.)
  EXPECT_LE(static_cast<double>(at_the_end), 1.01 * static_cast<double>(after_an_hour) + 100 * 20);
}

}  // namespace
}  // namespace aiofiber::explored
