// SPDX-License-Identifier: Apache-2.0
//
// Variables with a value per task in every kind of task: with a stack, of coroutines, on borrowed stacks,
// eager ones; in loops that close over them, and in a loop inside another loop's task.
// Labels: long
#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>
#include <aiofiber/testing.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "per_task_legacy.h"

namespace {

using namespace std::chrono_literals;
namespace hooks = aiofiber::hooks;

constexpr int kTasks = 25;

int shared = 0;  // stands for a global of old code

class PerTaskIn : public testing::Test {
 protected:
  static void SetUpTestSuite() { hooks::per_task(&shared); }
  void SetUp() override { shared = 1; }
  void TearDown() override { EXPECT_EQ(shared, 1) << "outside tasks"; }
};

TEST_F(PerTaskIn, TasksWithAStackThatAwait) {
  asyncio::run([] {
    std::vector<asyncio::Task<int>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(asyncio::create_task([i] {
        int right = 0;
        for (int turn = 0; turn < 3; ++turn) {
          shared = 100 * i + turn;
          asyncio::await(asyncio::sleep(0s));
          right += shared == 100 * i + turn ? 1 : 0;
        }
        return right;
      }));
    }
    for (const auto& task : tasks) EXPECT_EQ(asyncio::await(task), 3);
    EXPECT_EQ(shared, 1);
  });
}

asyncio::Coro<int> count_right(int number) {
  int right = 0;
  for (int turn = 0; turn < 3; ++turn) {
    shared = 100 * number + turn;
    co_await asyncio::sleep(0s);
    right += shared == 100 * number + turn ? 1 : 0;
    // On a borrowed stack, where a call suspends.
    right += co_await [number, turn] {
      const int before = shared;
      shared += 50;
      ::sched_yield();
      return before == 100 * number + turn && shared == before + 50 ? 1 : 0;
    };
    right += shared == 100 * number + turn + 50 ? 1 : 0;
  }
  co_return right;
}

TEST_F(PerTaskIn, TasksWithoutAStackAndOnBorrowedStacks) {
  asyncio::run([] {
    std::vector<asyncio::Task<int>> tasks;
    for (int i = 0; i < kTasks; ++i) tasks.push_back(asyncio::create_task(count_right(i)));
    for (const auto& task : tasks) EXPECT_EQ(asyncio::await(task), 9);
    EXPECT_EQ(asyncio::await(count_right(3)), 9) << "in the stack of this task";
    shared = 1;
  });
}

TEST_F(PerTaskIn, EagerTasksAndTheirCreators) {
  asyncio::run([] {
    shared = 5;
    auto eager = asyncio::create_task(asyncio::TaskOptions{.eager_start = true}, [] {
      EXPECT_EQ(shared, 5) << "as the creator's";
      shared = 6;
      asyncio::await(asyncio::sleep(0s));
      return shared;
    });
    EXPECT_EQ(shared, 5) << "the creator again, after the first step";
    auto done = asyncio::create_task(asyncio::TaskOptions{.eager_start = true}, [] { return shared = 7; });
    EXPECT_TRUE(done.done());
    EXPECT_EQ(shared, 5);
    EXPECT_EQ(asyncio::await(eager), 6);
    shared = 1;
  });
}

// A callback runs on the loop's stack, and so do the steps of coroutines: their eager tasks come back to
// them.
TEST_F(PerTaskIn, EagerTasksOfCallbacksAndOfCoroutines) {
  asyncio::run([] {
    shared = 5;
    asyncio::get_running_loop().call_soon([] {
      EXPECT_EQ(shared, 1) << "a callback has the value outside";
      const asyncio::TaskOptions eagerly{.eager_start = true};
      asyncio::create_task(eagerly, [] {
        EXPECT_EQ(shared, 1);
        shared = 8;
        asyncio::await(asyncio::sleep(0s));
        EXPECT_EQ(shared, 8);
      }).detach();
      EXPECT_EQ(shared, 1);
    });
    const auto coroutine = []() -> asyncio::Coro<int> {
      shared = 20;
      auto inner = asyncio::create_task(asyncio::TaskOptions{.eager_start = true}, [] {
        EXPECT_EQ(shared, 20);
        shared = 21;
        asyncio::await(asyncio::sleep(0s));
        return shared;
      });
      EXPECT_EQ(shared, 20);
      auto stackless = []() -> asyncio::Coro<int> {
        shared = 22;
        co_await asyncio::sleep(0s);
        co_return shared;
      };
      auto second = asyncio::create_task(stackless(), asyncio::TaskOptions{.eager_start = true});
      EXPECT_EQ(shared, 20);
      const int sum = co_await inner + co_await second;
      EXPECT_EQ(shared, 20);
      co_return sum;
    };
    EXPECT_EQ(asyncio::await(asyncio::create_task(coroutine())), 21 + 22);
    EXPECT_EQ(shared, 5);
    shared = 1;
  });
}

TEST_F(PerTaskIn, CodeWhoseVariablesAreDeclaredWithTheMacros) {
  asyncio::run([] {
    std::vector<asyncio::Task<int>> tasks;
    for (int i = 0; i < kTasks; ++i)
      tasks.push_back(asyncio::create_task([i] { return legacy_declared(i); }));
    for (const auto& task : tasks) EXPECT_EQ(asyncio::await(task), 1);
  });
  EXPECT_EQ(legacy_values_out(), 0);
  std::size_t bytes = 0;
  for (const hooks::PerTaskVariable& variable : hooks::per_task_variables()) {
    if (variable.name == "line" || variable.name == "declared") bytes += variable.bytes;
  }
  EXPECT_EQ(bytes, 100 + sizeof(int));
}

TEST_F(PerTaskIn, CodeOfALibraryThatIsOpenedMeanwhileAndStaysLoaded) {
  asyncio::run([] {
    void* const library = ::dlopen(AIOFIBER_PER_TASK_PLUGIN, RTLD_NOW);
    ASSERT_NE(library, nullptr) << ::dlerror();
    const auto legacy = reinterpret_cast<int (*)(int)>(::dlsym(library, "legacy_declared"));
    ASSERT_NE(legacy, nullptr);
    EXPECT_NE(legacy, &legacy_declared) << "the program's own";
    std::vector<asyncio::Task<int>> tasks;
    for (int i = 0; i < kTasks; ++i) tasks.push_back(asyncio::create_task([=] { return legacy(i); }));
    for (const auto& task : tasks) EXPECT_EQ(asyncio::await(task), 1);
    ::dlclose(library);
    asyncio::await(asyncio::sleep(0s));  // a switch: it would write to memory that is gone
    EXPECT_NE(::dlopen(AIOFIBER_PER_TASK_PLUGIN, RTLD_NOW | RTLD_NOLOAD), nullptr);
  });
}

int made = 0, released = 0;
long counted = 0;

TEST_F(PerTaskIn, ALoopThatClosesReleasesTheValuesOfEveryKind) {
  hooks::per_task(&counted,
                  {.init = [](void* value, std::size_t, void*) { *static_cast<long*>(value) = ++made; },
                   .release = [](void*, std::size_t, void*) { ++released; }});
  aiofiber::testing::TestLoop loop;
  loop.set_exception_handler([](asyncio::EventLoop&, const asyncio::ExceptionContext&) {});
  loop.run_until_complete([] {
    const auto coroutine = []() -> asyncio::Coro<void> { co_await asyncio::sleep(100s); };
    const auto on_borrowed_stack = []() -> asyncio::Coro<void> {
      co_await [] { asyncio::await(asyncio::sleep(100s)); };
    };
    asyncio::create_task([] { asyncio::await(asyncio::sleep(100s)); }).detach();
    asyncio::create_task(coroutine()).detach();
    asyncio::create_task(on_borrowed_stack()).detach();
    asyncio::await(asyncio::sleep(1s));
    asyncio::create_task([] {}).detach();
    asyncio::create_task(coroutine()).detach();
  });
  loop.close();
  EXPECT_EQ(made, 6);
  EXPECT_EQ(released, made);
  EXPECT_EQ(counted, 0);
}

TEST_F(PerTaskIn, ALoopThatClosesInAnotherLoopsTask) {
  std::vector<int> seen;
  aiofiber::testing::TestLoop inner;
  inner.set_exception_handler([](asyncio::EventLoop&, const asyncio::ExceptionContext&) {});
  inner.run_until_complete([&] {
    asyncio::create_task([&] {
      struct Looks {
        std::vector<int>& seen;
        ~Looks() { seen.push_back(shared); }
      } looks{seen};
      shared = 30;
      asyncio::await(asyncio::sleep(100s));
    }).detach();
    asyncio::await(asyncio::sleep(1s));
  });
  asyncio::run([&] {
    shared = 40;
    inner.close();
    EXPECT_EQ(shared, 40) << "the task in which it was closed";
    asyncio::await(asyncio::sleep(0s));
    EXPECT_EQ(shared, 40);
  });
  EXPECT_EQ(seen, std::vector<int>{30});
}

TEST_F(PerTaskIn, OneLoopAtATime) {
  asyncio::run([] {
    int error = 0, steps = 0;
    std::thread other([&] {
      try {
        asyncio::run([&] { ++steps; });
      } catch (const std::system_error& refusal) {
        error = refusal.code().value();
      }
      hooks::set_per_task_on_this_thread(false);
      asyncio::run([&] {
        ++steps;
        asyncio::await(asyncio::sleep(1ms));
        ++steps;
      });
    });
    other.join();
    EXPECT_EQ(error, EBUSY);
    EXPECT_EQ(steps, 2);
  });
}

// What another thread asks the loop for begins with the value outside: no task has created it.
TEST_F(PerTaskIn, ACallFromAnotherThread) {
  asyncio::run([] {
    shared = 50;
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    std::thread other(
        [&] { EXPECT_EQ(asyncio::run_coroutine_threadsafe([] { return shared; }, loop).result(), 1); });
    asyncio::await(asyncio::to_thread([&] { other.join(); }));
    EXPECT_EQ(shared, 50);
  });
}

}  // namespace
