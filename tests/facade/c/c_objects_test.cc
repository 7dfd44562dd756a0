// SPDX-License-Identifier: Apache-2.0
//
// Semaphores and keys of <aiofiber.h>, on virtual time.
#include <aiofiber.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

aiofiber_semaphore make_semaphore(std::int64_t units) {
  aiofiber_semaphore semaphore{};
  EXPECT_EQ(aiofiber_semaphore_create(units, &semaphore), 0);
  return semaphore;
}
aiofiber_task spawn(void* (*function)(void*), void* argument) {
  aiofiber_task task{};
  EXPECT_EQ(aiofiber_spawn(function, argument, nullptr, &task), 0);
  return task;
}

TEST(CSemaphore, LetsInSoManyAtATime) {
  run_in_loop([] {
    struct Shared {
      aiofiber_semaphore semaphore;
      int inside = 0, most = 0;
    } shared{make_semaphore(3)};
    std::vector<aiofiber_task> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(spawn(
          [](void* pointer) -> void* {
            auto& all = *static_cast<Shared*>(pointer);
            EXPECT_EQ(aiofiber_semaphore_acquire(all.semaphore), 0);
            all.most = std::max(all.most, ++all.inside);
            EXPECT_EQ(aiofiber_sleep(1), 0);
            --all.inside;
            EXPECT_EQ(aiofiber_semaphore_release(all.semaphore), 0);
            return nullptr;
          },
          &shared));
    }
    EXPECT_EQ(aiofiber_gather(tasks.data(), tasks.size(), nullptr, nullptr), 0);
    EXPECT_EQ(shared.most, 3);
    EXPECT_EQ(aiofiber_semaphore_destroy(shared.semaphore), 0);
  });
}

TEST(CSemaphore, AcquireForGivesUpAtTheLimitWithoutAUnit) {
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    const aiofiber_semaphore semaphore = make_semaphore(1);
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, 0), 0) << "it is free";
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, 0), AIOFIBER_TIMED_OUT);
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, -1), AIOFIBER_TIMED_OUT);
    const TimePoint start = loop.time();
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, 2), AIOFIBER_TIMED_OUT);
    EXPECT_EQ(loop.time() - start, std::chrono::seconds(2));
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, std::nan("")), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_cancelling(), 0);
    loop.call_later(std::chrono::seconds(1), [semaphore] { aiofiber_semaphore_release(semaphore); });
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, 2), 0);
    EXPECT_EQ(aiofiber_semaphore_release(semaphore), 0);
    EXPECT_EQ(aiofiber_semaphore_acquire_for(semaphore, INFINITY), 0);
    EXPECT_EQ(loop.live_timers(), 0U);
  });
  loop.close();
}

TEST(CSemaphore, ACancelledWaitTakesNoUnit) {
  run_in_loop([] {
    struct Shared {
      aiofiber_semaphore semaphore;
      int codes[2] = {1, 1};
    } shared{make_semaphore(0)};
    const aiofiber_task task = spawn(
        [](void* pointer) -> void* {
          auto& all = *static_cast<Shared*>(pointer);
          all.codes[0] = aiofiber_semaphore_acquire(all.semaphore);
          all.codes[1] = aiofiber_semaphore_acquire_for(all.semaphore, 5);
          return nullptr;
        },
        &shared);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_semaphore_destroy(shared.semaphore), AIOFIBER_BUSY);
    EXPECT_EQ(aiofiber_cancel(task), 0);
    EXPECT_EQ(aiofiber_semaphore_release(shared.semaphore), 0);
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(shared.codes[0], AIOFIBER_CANCELLED);
    EXPECT_EQ(shared.codes[1], 0) << "a unit is free, so this does not wait";
    EXPECT_EQ(aiofiber_semaphore_acquire_for(shared.semaphore, 0), AIOFIBER_TIMED_OUT);
    EXPECT_EQ(aiofiber_semaphore_destroy(shared.semaphore), 0);
  });
}

TEST(CSemaphore, RefusesWhatCannotBe) {
  aiofiber_semaphore semaphore{1, 1};
  EXPECT_EQ(aiofiber_semaphore_create(1, &semaphore), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_semaphore_create(1, nullptr), AIOFIBER_INVALID);
  EXPECT_EQ(aiofiber_semaphore_acquire(semaphore), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_semaphore_release(semaphore), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_semaphore_destroy(semaphore), AIOFIBER_NO_LOOP);
  run_in_loop([&] {
    EXPECT_EQ(aiofiber_semaphore_create(-1, &semaphore), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_semaphore_acquire({}), AIOFIBER_INVALID);
    semaphore = make_semaphore(std::numeric_limits<std::int64_t>::max());
    EXPECT_EQ(aiofiber_semaphore_release(semaphore), AIOFIBER_OVERFLOW);
    // A handle of one kind is none of another kind, whatever its numbers.
    EXPECT_EQ(aiofiber_wait({semaphore.place_, semaphore.serial_}, nullptr), AIOFIBER_INVALID);
    std::thread([&] {
      run_in_loop([&] { EXPECT_EQ(aiofiber_semaphore_release(semaphore), AIOFIBER_OTHER_LOOP); });
    }).join();
    EXPECT_EQ(aiofiber_semaphore_destroy(semaphore), 0);
    EXPECT_EQ(aiofiber_semaphore_destroy(semaphore), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_semaphore_release(semaphore), AIOFIBER_INVALID);
  });
}

// ---- keys -------------------------------------------------------------------------------------------------

int destroyed = 0;

TEST(CKey, HasAPointerForEachTaskAndADestructor) {
  destroyed = 0;
  static aiofiber_key key;
  ASSERT_EQ(aiofiber_key_create([](void* pointer) { destroyed += *static_cast<int*>(pointer); }, &key), 0);
  run_in_loop([] {
    int values[] = {1, 10, 100};
    std::vector<aiofiber_task> tasks;
    for (int& value : values) {
      tasks.push_back(spawn(
          [](void* pointer) -> void* {
            EXPECT_EQ(aiofiber_get(key), nullptr);
            EXPECT_EQ(aiofiber_set(key, pointer), 0);
            EXPECT_EQ(aiofiber_sleep(1), aiofiber_cancelling() == 0 ? 0 : AIOFIBER_CANCELLED);
            EXPECT_EQ(aiofiber_get(key), pointer);
            return nullptr;
          },
          &value));
    }
    EXPECT_EQ(aiofiber_cancel(tasks[2]), 0);
    EXPECT_EQ(aiofiber_wait(tasks[2], nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(destroyed, 100) << "of a cancelled task too";
    EXPECT_EQ(aiofiber_gather(tasks.data(), 2, nullptr, nullptr), 0);
    EXPECT_EQ(destroyed, 111);
  });
  EXPECT_EQ(aiofiber_key_delete(key), 0);
  EXPECT_EQ(aiofiber_key_delete(key), AIOFIBER_INVALID);
}

TEST(CKey, ADestructorMaySetPointersAFewTimes) {
  static aiofiber_key key;
  destroyed = 0;
  ASSERT_EQ(aiofiber_key_create(
                [](void* pointer) {
                  ++destroyed;
                  EXPECT_EQ(aiofiber_get(key), nullptr);
                  EXPECT_EQ(aiofiber_set(key, pointer), 0);
                },
                &key),
            0);
  run_in_loop([] {
    EXPECT_EQ(aiofiber_wait(spawn(
                                [](void* pointer) -> void* {
                                  EXPECT_EQ(aiofiber_set(key, pointer), 0);
                                  return nullptr;
                                },
                                &destroyed),
                            nullptr),
              0);
  });
  EXPECT_EQ(destroyed, 4);
  EXPECT_EQ(aiofiber_key_delete(key), 0);
}

TEST(CKey, ThatWasDeletedLeavesNothingToTheNextOne) {
  static aiofiber_key key;
  ASSERT_EQ(aiofiber_key_create([](void*) { ADD_FAILURE(); }, &key), 0);
  run_in_loop([] {
    EXPECT_EQ(aiofiber_wait(spawn(
                                [](void* pointer) -> void* {
                                  EXPECT_EQ(aiofiber_set(key, pointer), 0);
                                  EXPECT_EQ(aiofiber_key_delete(key), 0);
                                  EXPECT_EQ(aiofiber_get(key), nullptr);
                                  EXPECT_EQ(aiofiber_set(key, pointer), AIOFIBER_INVALID);
                                  aiofiber_key next{};
                                  EXPECT_EQ(aiofiber_key_create([](void*) { ADD_FAILURE(); }, &next), 0);
                                  EXPECT_EQ(next.place_, key.place_);
                                  EXPECT_EQ(aiofiber_get(next), nullptr);
                                  EXPECT_EQ(aiofiber_key_delete(next), 0);
                                  return nullptr;
                                },
                                &destroyed),
                            nullptr),
              0);
  });
}

TEST(CKey, RefusesWhatCannotBe) {
  EXPECT_EQ(aiofiber_key_create(nullptr, nullptr), AIOFIBER_INVALID);
  EXPECT_EQ(aiofiber_key_delete({}), AIOFIBER_INVALID);
  EXPECT_EQ(aiofiber_key_delete({1'000'000, 1}), AIOFIBER_INVALID);
  EXPECT_EQ(aiofiber_set({}, nullptr), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_get({}), nullptr);
  std::vector<aiofiber_key> all;
  aiofiber_key key{};
  while (aiofiber_key_create(nullptr, &key) == 0) all.push_back(key);
  EXPECT_EQ(all.size(), 128U);
  EXPECT_EQ(aiofiber_key_create(nullptr, &key), AIOFIBER_EXHAUSTED);
  EXPECT_EQ(key.serial_, 0U);
  run_in_loop([&] { EXPECT_EQ(aiofiber_set(all[0], nullptr), AIOFIBER_OUTSIDE_TASK) << "a task of C++"; });
  for (const aiofiber_key made : all) EXPECT_EQ(aiofiber_key_delete(made), 0);
}

}  // namespace
}  // namespace aiofiber
