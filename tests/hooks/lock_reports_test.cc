// SPDX-License-Identifier: Apache-2.0
//
// What the reports say of locks: who has the one that a task waits for, and rings of tasks that wait for each other's.
// The loops are real ones, which would sleep for ever: the log's sink ends the wait.
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"

namespace app {

namespace aio = aiofiber;
using aio::await;

struct GiveUp {};

// Runs the body as a task of a loop until it ends or the first report is made; gives the reports. Nothing ends a wait for a
// mutex: so the loop is closed over the tasks that are left, which unwinds them.
template <class F>
std::vector<std::string> run(F body, bool debug = false) {
  std::vector<std::string> reports;
  aio::EventLoop loop;
  loop.set_debug(debug);
  aio::set_log_sink([&](aio::LogLevel, std::string_view text) {
    reports.emplace_back(text);
    if (text.starts_with("Deadlock")) loop.stop();
  });
  try {
    loop.run_until_complete(body);
  } catch (const aio::RuntimeError&) {  // stopped before the task was done
  }
  loop.set_exception_handler([](aio::EventLoop&, const aio::ExceptionContext&) {});  // of tasks that are still there
  loop.close();
  aio::set_log_sink({});
  return reports;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Two tasks that take two locks in opposite order, each a suspension after the other.
template <class First, class Second>
std::vector<std::string> run_crossed(First& first, Second& second) {
  return run([&] {
    auto a = aio::create_task({.name = "a"}, [&] {
      const std::lock_guard outer(first);
      await(aio::sleep(aio::Duration()));
      const std::lock_guard inner(second);
    });
    auto b = aio::create_task({.name = "b"}, [&] {
      const std::lock_guard outer(second);
      await(aio::sleep(aio::Duration()));
      const std::lock_guard inner(first);
    });
    await(aio::gather(a, b));
  });
}

void expect_ring(const std::vector<std::string>& reports) {
  ASSERT_EQ(reports.size(), 1u);
  const std::string& text = reports[0];
  EXPECT_TRUE(has(text, "These wait for each other: 'a' -> 'b' -> 'a'\n") || has(text, "These wait for each other: 'b' -> 'a' -> 'b'\n"))
      << text;
  const std::size_t a = text.find("Task 'a' waits for lock at 0x"), b = text.find("Task 'b' waits for lock at 0x");
  ASSERT_TRUE(a != std::string::npos && b != std::string::npos) << text;
  EXPECT_TRUE(has(text.substr(a, text.find('\n', a) - a), ", held by task 'b'")) << text;
  EXPECT_TRUE(has(text.substr(b, text.find('\n', b) - b), ", held by task 'a'")) << text;
}

TEST(LockRing, OfMutexesIsNamed) {
  std::mutex first, second;
  expect_ring(run_crossed(first, second));
}

TEST(LockRing, OfLocksIsNamed) {
  aio::Lock first, second;
  expect_ring(run_crossed(first, second));
}

TEST(LockRing, OfAMutexAndALockIsNamed) {
  std::recursive_mutex first;
  aio::Lock second;
  expect_ring(run_crossed(first, second));
}

TEST(LockRing, OfALockAndAnAwaitedTaskIsNamed) {
  std::mutex mutex;
  const auto reports = run([&] {
    std::optional<aio::Task<>> b;
    auto a = aio::create_task({.name = "a"}, [&] {
      const std::lock_guard lock(mutex);
      await(*b);
    });
    b = aio::create_task({.name = "b"}, [&] { const std::lock_guard lock(mutex); });
    await(a);
  });
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(has(reports[0], "'a' -> 'b' -> 'a'\n") || has(reports[0], "'b' -> 'a' -> 'b'\n")) << reports[0];
}

TEST(LockRing, OfOneIsATaskThatTakesALockTwice) {
  aio::Lock lock;
  const auto reports = run([&] {
    await(aio::create_task({.name = "twice"}, [&] {
      await(lock.acquire());
      await(lock.acquire());
    }));
  });
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(has(reports[0], "\nThis waits for itself: 'twice'\n")) << reports[0];
  EXPECT_TRUE(has(reports[0], ", held by itself\n")) << reports[0];
}

TEST(LockOwnerText, SaysThatTheTaskHasEnded) {
  aio::Lock lock;
  const auto reports = run([&] {
    await(aio::create_task([&] { await(lock.acquire()); }));  // and never releases it
    await(lock.acquire());
  });
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(has(reports[0], ", held by a task that has ended (id ")) << reports[0];
}

}  // namespace app
