// SPDX-License-Identifier: Apache-2.0
//
// TaskLocal: each task has its own value, from its first use to its end, with and without a stack.
// Labels: threads long
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/task_local.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using Log = std::vector<std::string>;

TaskLocal<int> number;
TaskLocal<std::vector<int>> list([] { return std::vector<int>{1}; });

TEST(TaskLocal, HasAValueForEachTaskAndOneForTheThread) {
  number.get() = 7;
  run_in_loop([] {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 25; ++i) {
      tasks.push_back(create_task([i] {
        EXPECT_FALSE(number.has_value()) << "not inherited";
        EXPECT_EQ(*number, 0);
        *number = i;
        list->push_back(i);
        await(sleep(0s));
        EXPECT_EQ(list->size(), 2u);
        EXPECT_EQ(list->front(), 1);
        return *number;
      }));
    }
    *number = 100;
    get_running_loop().call_soon([] { EXPECT_EQ(*number, 7) << "a callback has the thread's"; });
    for (int i = 0; i < 25; ++i) EXPECT_EQ(await(tasks[static_cast<std::size_t>(i)]), i);
    std::thread([] { EXPECT_EQ(*number, 0); }).join();
    EXPECT_EQ(*number, 100);
  });
  EXPECT_EQ(*number, 7);
  number.reset();
  EXPECT_FALSE(number.has_value());
  EXPECT_EQ(*number, 0);
}

Coro<int> counts() {
  *number += 1;
  co_await sleep(0s);
  *number += 1;
  co_await [] { *number += await(coroutine([] { return 1; })()); };  // on a borrowed stack
  *number += 1;
  co_return *number;
}

TEST(TaskLocal, StaysWithATaskThatHasNoStackOfItsOwn) {
  run_in_loop([] {
    auto first = create_task(counts());
    auto second = create_task(counts());
    EXPECT_EQ(await(first), 4);
    EXPECT_EQ(await(second), 4);
    EXPECT_EQ(await(counts()), 4) << "in this task";
    EXPECT_EQ(*number, 4);
  });
}

Log destroyed;
struct Named {
  ~Named() { destroyed.push_back(name); }
  std::string name = "unnamed";
};
TaskLocal<Named> outer, inner;

TEST(TaskLocal, IsDestroyedAtTheEndOfTheTaskInReverseOrder) {
  destroyed.clear();
  run_in_loop([] {
    auto task = create_task([] {
      outer->name = "first";
      inner->name = "second";
      await(sleep(0s));
      destroyed.push_back("the function ends");
    });
    await(task);
    EXPECT_EQ(destroyed, (Log{"the function ends", "second", "first"}));
    auto cancelled = create_task([] {
      outer->name = "cancelled";
      await(sleep(10s));
    });
    await(sleep(1s));
    cancelled.cancel();
    await(ended(cancelled));
    EXPECT_EQ(destroyed.back(), "cancelled");
    outer->name = "dropped";
    outer.reset();
    EXPECT_EQ(destroyed.back(), "dropped");
  });
}

TEST(TaskLocal, IsDestroyedWhenTheLoopClosesOverItsTask) {
  destroyed.clear();
  testing::TestLoop loop;
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  loop.run_until_complete([] {
    create_task([] {
      outer->name = "with a stack";
      await(sleep(10s));
    }).detach();
    const auto coroutine = []() -> Coro<void> {
      outer->name = "without";
      co_await sleep(10s);
    };
    create_task(coroutine()).detach();
    await(sleep(1s));
  });
  loop.close();
  EXPECT_EQ(destroyed, (Log{"without", "with a stack"}));  // the youngest first
}

TaskLocal<std::unique_ptr<int>> pointer([] { return std::make_unique<int>(3); });
int attempts = 0;
TaskLocal<int> fails([]() -> int {
  if (++attempts == 1) throw ValueError("not yet");
  return 9;
});

TEST(TaskLocal, MayBeMoveOnlyAndMayFailToBeMade) {
  run_in_loop([] {
    EXPECT_EQ(**pointer, 3);
    EXPECT_THROW(fails.get(), ValueError);
    EXPECT_FALSE(fails.has_value());
    EXPECT_EQ(*fails, 9);
  });
}

}  // namespace
}  // namespace aiofiber
