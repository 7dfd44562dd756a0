// SPDX-License-Identifier: Apache-2.0
//
// Costs that may grow with the number of waiters, and costs that must not: the tests count steps and measure
// no time. The cost of a wake-up depends only on the tasks that it wakes, not on those that wait, were woken
// or were cancelled before.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using testing::wait_all_tasks_blocked;

constexpr std::size_t kWaiters = 1000;
// Each waiter may be looked at when it is woken and once more on the way.
constexpr std::uint64_t kSteps = 3 * kWaiters;

// Tasks that wait by wait(), all suspended when it returns.
template <class Wait>
std::vector<Task<void>> suspended(Wait wait) {
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < kWaiters; ++i) tasks.push_back(create_task({.stack_size = 32 * 1024}, wait));
  wait_all_tasks_blocked();
  return tasks;
}

TEST(Cost, OfSettingAnEventIsOneStepAWaiter) {
  run_in_loop([] {
    const runtime::Ref<detail::EventState> event(new detail::EventState);
    auto tasks = suspended([event] { event->wait(); });
    event->set();
    EXPECT_LE(event->waiters.steps(), kSteps);
    await(gather(tasks));
  });
}

TEST(Cost, OfNotifyingIsOneStepAWaiter) {
  for (const bool at_once : {true, false}) {
    run_in_loop([&] {
      const runtime::Ref<detail::ConditionState> condition(new detail::ConditionState);
      condition->lock = runtime::Ref<detail::LockState>(new detail::LockState);
      auto tasks = suspended([condition] {
        condition->lock->acquire();
        condition->wait();
        condition->lock->unlock();
      });
      if (at_once) {
        condition->wake(kWaiters);
      } else {
        for (std::size_t i = 0; i < kWaiters; ++i) condition->wake(1);
      }
      await(gather(tasks));
      EXPECT_LE(condition->waiters.steps(), kSteps);
      EXPECT_LE(condition->lock->waiters.steps(), kSteps);
    });
  }
}

TEST(Cost, OfReleasingASemaphoreIsOneStepAWaiter) {
  run_in_loop([] {
    const runtime::Ref<detail::SemaphoreState> semaphore(new detail::SemaphoreState);
    auto tasks = suspended([semaphore] { semaphore->acquire(); });
    for (std::size_t i = 0; i < kWaiters; ++i) semaphore->give_back();
    await(gather(tasks));
    EXPECT_LE(semaphore->waiters.steps(), kSteps);
  });
}

TEST(Cost, OfWhatWasCancelledInFrontIsPaidOnce) {
  run_in_loop([] {
    const runtime::Ref<detail::SemaphoreState> semaphore(new detail::SemaphoreState);
    auto tasks = suspended([semaphore] { semaphore->acquire(); });
    for (const auto& task : tasks) task.cancel();
    // They are still in line, as none has run since.
    for (std::size_t i = 0; i < kWaiters; ++i) {
      semaphore->give_back();
      EXPECT_TRUE(semaphore->acquire());
    }
    EXPECT_LE(semaphore->waiters.steps(), 2 * kSteps);
    EXPECT_EQ(await(gather(return_exceptions, tasks)).size(), kWaiters);
  });
}

TEST(Cost, OfFindingACallbackDoesNotDependOnHowManyThereAre) {
  detail::CallbackTable table;
  std::vector<detail::CallbackEntry> entries(20'000);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].id = 3 * i + 1;  // as if two other loops registered in between
    table.add(entries[i]);
  }
  std::size_t longest = 0;
  for (detail::CallbackEntry& entry : entries) {
    std::size_t chain = 0;
    for (const auto* at = &entry; at != nullptr; at = at->next_in_bucket) ++chain;
    longest = std::max(longest, chain);
    ASSERT_EQ(table.find(entry.id), &entry);
  }
  EXPECT_LE(longest, 8u);
  EXPECT_EQ(table.find(2), nullptr);
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) table.remove(*entry);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.find(1), nullptr);
}

TEST(Cost, RemovedCallbacksDoNotRunAndTheOthersDo) {
  run_in_loop([] {
    auto future = get_running_loop().create_future<void>();
    std::vector<CallbackId> ids;
    std::vector<std::size_t> ran;
    for (std::size_t i = 0; i < kWaiters; ++i) {
      ids.push_back(future.add_done_callback([&ran, i](const Future<void>&) { ran.push_back(i); }));
    }
    for (std::size_t i = kWaiters; i-- > 0;) {
      if (i % 2 == 0) continue;
      EXPECT_EQ(future.remove_done_callback(ids[i]), 1u);
    }
    EXPECT_EQ(future.remove_done_callback(ids[1]), 0u) << "gone already";
    auto other = get_running_loop().create_future<void>();
    EXPECT_EQ(other.remove_done_callback(ids[0]), 0u) << "another future's";
    future.set_result();
    EXPECT_EQ(future.remove_done_callback(ids[0]), 0u) << "on its way";
    await(sleep(Duration()));
    ASSERT_EQ(ran.size(), kWaiters / 2);
    for (std::size_t i = 0; i < ran.size(); ++i) EXPECT_EQ(ran[i], 2 * i);
  });
}

TEST(Cost, DuplicatesOfARangeAreDroppedInOrder) {
  run_in_loop([] {
    auto a = get_running_loop().create_future<int>();
    auto b = get_running_loop().create_future<int>();
    auto c = get_running_loop().create_future<int>();
    std::vector<Future<int>> futures{c, a, c, b, a, c};
    detail::remove_duplicates(futures);
    EXPECT_EQ(futures, (std::vector<Future<int>>{c, a, b}));
  });
}

TEST(Cost, CancelledReadersOfAsCompletedLeaveAtOnceAndLoseNothing) {
  run_in_loop([] {
    auto future = get_running_loop().create_future<int>();
    auto late = get_running_loop().create_future<int>();
    auto range = as_completed(std::vector{future, late});
    auto next = range.begin();
    auto reader = [](Coroutine<int>& item) { return await(item); };
    auto first = *next;
    auto second = *++next;
    auto a = create_task(reader, std::ref(first));
    auto b = create_task(reader, std::ref(second));
    wait_all_tasks_blocked();
    future.set_result(1);
    await(sleep(Duration()));
    a.cancel();  // it was woken for the result, which b gets
    EXPECT_THROW(await(a), CancelledError);
    EXPECT_EQ(await(b), 1);
    late.set_result(2);
  });
}

}  // namespace
}  // namespace aiofiber
