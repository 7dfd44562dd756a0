// SPDX-License-Identifier: Apache-2.0
//
// Locks in reports: the owner of the lock for which a task waits, rings of tasks that wait for each other's
// locks, and, in debug mode, tasks that suspend while they hold a lock. The loops are real: a ring would
// sleep for ever, so the log's sink ends the wait.
// Labels: long
#include <gtest/gtest.h>

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"

namespace app {

namespace aio = aiofiber;
using aio::await;

struct GiveUp {};

// Runs the body as a task of a loop until it ends or the first report is made; gives the reports. Nothing
// ends a wait for a mutex: so the loop is closed over the tasks that are left, which unwinds them.
template <class F>
std::vector<std::string> run(F body, bool debug = false) {
  std::vector<std::string> reports;
  aio::EventLoop loop;
  loop.set_debug(debug);
  // Making a report takes a while, which is no news here.
  loop.slow_callback_duration = std::chrono::hours(1);
  aio::set_log_sink([&](aio::LogLevel, std::string_view text) {
    reports.emplace_back(text);
    if (text.starts_with("Deadlock")) loop.stop();
  });
  try {
    loop.run_until_complete(body);
  } catch (const aio::RuntimeError&) {  // stopped before the task was done
  }
  loop.set_exception_handler(
      [](aio::EventLoop&, const aio::ExceptionContext&) {});  // of tasks that are still there
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
  EXPECT_TRUE(has(text, "These wait for each other: 'a' -> 'b' -> 'a'\n") ||
              has(text, "These wait for each other: 'b' -> 'a' -> 'b'\n"))
      << text;
  const std::size_t a = text.find("Task 'a' waits for lock at 0x"),
                    b = text.find("Task 'b' waits for lock at 0x");
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

std::mutex g_mutex;

TEST(LockOwnerText, NamesAGlobalLock) {
  const auto reports = run([] {
    const std::lock_guard lock(g_mutex);
    await(aio::create_task([] { const std::lock_guard again(g_mutex); }));
  });
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(has(reports[0], " waits for lock 'app::g_mutex' at 0x")) << reports[0];
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

// ---- suspended with a lock

__attribute__((noinline)) void ask_the_server() {
  usleep(100);
  asm volatile("" ::: "memory");  // no tail call: the frame is looked for
}

struct Cache {
  int size = 0;
  std::mutex mutex;
} cache;

__attribute__((noinline)) void refresh() {
  const std::lock_guard lock(cache.mutex);
  ask_the_server();
}

TEST(SuspendedWithALock, IsReportedOncePerPlaceWithWhatWhereAndFor) {
  const auto reports = run(
      [] {
        await(aio::create_task({.name = "refresher"}, [] {
          for (int i = 0; i < 3; ++i) refresh();
        }));
      },
      true);
  ASSERT_EQ(reports.size(), 1u);
  const std::string& text = reports[0];
  EXPECT_TRUE(text.starts_with(
      "Task 'refresher' is suspended in a wait for sleep, 0.0 s left, and holds a lock meanwhile."))
      << text;
  EXPECT_TRUE(has(text, "\nIt took mutex 'app::cache+0x8' at 0x")) << text;
  const std::size_t taken = text.find("in app::refresh\n    const std::lock_guard lock(cache.mutex);");
  const std::size_t suspended = text.find("\nIt is suspended here:\n");
  EXPECT_LT(taken, suspended) << text;
  ASSERT_NE(suspended, std::string::npos) << text;
  EXPECT_TRUE(has(text.substr(suspended), "in app::ask_the_server\n    usleep(100);")) << text;
}

TEST(SuspendedWithALock, CountsAllThatAreHeldAndSeesAnAwait) {
  std::recursive_mutex recursive;
  std::shared_mutex shared;
  const auto reports = run(
      [&] {
        const std::lock_guard first(recursive), again(recursive);
        const std::shared_lock second(shared);
        await(aio::create_task({.name = "child"}, [] {}));
      },
      true);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(has(reports[0], "in a wait for task 'child', and holds 2 locks meanwhile")) << reports[0];
  EXPECT_TRUE(has(reports[0], "\nIt took read-write lock for reading at 0x")) << reports[0];
}

TEST(SuspendedWithALock, IsNotReportedOutsideDebugMode) {
  EXPECT_TRUE(run([] {
                const std::lock_guard lock(cache.mutex);
                usleep(50);
              }).empty());
}

TEST(SuspendedWithALock, IsNotReportedOfWhatWasReleased) {
  std::mutex mutex;
  std::condition_variable condition;
  bool ready = false;
  EXPECT_EQ(run(
                [&] {
                  auto waiter = aio::create_task([&] {
                    std::unique_lock lock(mutex);
                    condition.wait(lock, [&] { return ready; });
                  });
                  { const std::lock_guard lock(mutex); }
                  usleep(100);
                  {
                    const std::lock_guard lock(mutex);
                    ready = true;
                  }
                  condition.notify_one();
                  await(waiter);
                },
                true),
            std::vector<std::string>());
}

TEST(SuspendedWithALock, IsNotReportedOfALockThatIsMadeForIt) {
  EXPECT_EQ(run(
                [] {
                  aio::Lock lock;
                  const std::lock_guard guard(lock);
                  usleep(100);
                },
                true),
            std::vector<std::string>());
}

TEST(SuspendedWithALock, IsNotReportedOfNestedLocks) {
  std::mutex outer, inner;
  const auto reports = run(
      [&] {
        auto holder = aio::create_task({.name = "holder"}, [&] {
          const std::lock_guard lock(inner);
          usleep(1000);  // reported
        });
        auto nested = aio::create_task({.name = "nested"}, [&] {
          const std::lock_guard first(outer);
          const std::lock_guard second(inner);
        });
        await(aio::gather(holder, nested));
      },
      true);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(reports[0].starts_with("Task 'holder'")) << reports[0];
}

TEST(SuspendedWithALock, ForgetsTheLocksOfATaskThatEnded) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  EXPECT_EQ(run(
                [&] {
                  await(aio::create_task([&] { pthread_mutex_lock(&mutex); }));
                  await(aio::create_task([&] {
                    pthread_mutex_unlock(&mutex);  // as plain mutexes allow
                    usleep(100);
                  }));
                  usleep(100);
                },
                true),
            std::vector<std::string>());
}

}  // namespace app
