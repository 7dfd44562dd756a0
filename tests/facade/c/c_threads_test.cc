// SPDX-License-Identifier: Apache-2.0
//
// <aiofiber.h> in several threads at once: a loop in each, and keys, which are the only thing that they
// share.
//
// Labels: threads
#include <aiofiber.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <thread>
#include <vector>

namespace {

void* returns_argument(void* pointer) { return pointer; }

void in_threads(void* (*body)(void*), void* argument) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([=] { EXPECT_EQ(aiofiber_run(body, argument, nullptr, nullptr), 0); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(CThreads, HaveALoopEach) {
  const auto body = [](void*) -> void* {
    aiofiber_task tasks[100];
    for (aiofiber_task& task : tasks) {
      EXPECT_EQ(aiofiber_spawn(returns_argument, &task, nullptr, &task), 0);
    }
    void* results[100];
    EXPECT_EQ(aiofiber_gather(tasks, 100, results, nullptr), 0);
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(results[i], &tasks[i]);
    return nullptr;
  };
  in_threads(body, nullptr);
}

TEST(CThreads, MakeAndEndKeysAtTheSameTime) {
  static aiofiber_key shared;
  ASSERT_EQ(aiofiber_key_create([](void*) {}, &shared), 0);
  const auto body = [](void* pointer) -> void* {
    for (int i = 0; i < 200; ++i) {
      aiofiber_key key{};
      EXPECT_EQ(aiofiber_key_create([](void*) { ADD_FAILURE() << "of another thread's key"; }, &key), 0);
      EXPECT_EQ(aiofiber_get(key), nullptr);
      EXPECT_EQ(aiofiber_set(key, &key), 0);
      EXPECT_EQ(aiofiber_set(shared, pointer), 0);
      EXPECT_EQ(aiofiber_get(key), &key);
      EXPECT_EQ(aiofiber_key_delete(key), 0);
    }
    return nullptr;
  };
  int value = 0;
  in_threads(body, &value);
  EXPECT_EQ(aiofiber_key_delete(shared), 0);
}

}  // namespace
