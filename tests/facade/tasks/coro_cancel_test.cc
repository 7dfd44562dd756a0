// SPDX-License-Identifier: Apache-2.0
//
// The cancellation and the end of coroutine tasks: raised at the co_await, by the rules of every task; and
// the destruction of suspended ones when their loop closes.
// Labels: clang long
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "aiofiber/exception_context.h"
#include "aiofiber/log.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;
using Log = std::vector<std::string>;

// Waits in one of the ways in which a coroutine can wait.
enum class Way { kFuture, kSleep, kPass, kCoro, kOnStack, kTask, kTimeoutInside };
constexpr Way kWays[] = {Way::kFuture,  Way::kSleep, Way::kPass,         Way::kCoro,
                         Way::kOnStack, Way::kTask,  Way::kTimeoutInside};

Coro<> wait_in(Way way) {
  switch (way) {
    case Way::kFuture:
      co_await get_running_loop().create_future();
      break;
    case Way::kSleep:
      co_await sleep(1h);
      break;
    case Way::kPass:
      co_await sleep(0s);
      break;
    case Way::kCoro:
      co_await wait_in(Way::kFuture);
      break;
    case Way::kOnStack:
      co_await [] { await(sleep(1h)); };
      break;
    case Way::kTask: {
      auto inner = create_task(wait_in(Way::kSleep));
      co_await inner;
      break;
    }
    case Way::kTimeoutInside:
      co_await timeout(2h, [] { return wait_in(Way::kFuture); });
      break;
  }
}

TEST(CoroCancellation, IsRaisedAtTheCoAwait) {
  for (const Way way : kWays) {
    SCOPED_TRACE(static_cast<int>(way));
    run_in_loop([&]() -> Coro<> {
      std::string message;
      auto task = create_task([&]() -> Coro<> {
        try {
          co_await wait_in(way);
        } catch (const CancelledError& error) {
          message = error.message();
          throw;
        }
      });
      co_await sleep(0s);
      EXPECT_TRUE(task.cancel("enough"));
      EXPECT_EQ(task.cancelling(), 1);
      bool cancelled = false;
      try {
        co_await task;
      } catch (const CancelledError&) {
        cancelled = true;
      }
      EXPECT_TRUE(cancelled && task.cancelled());
      EXPECT_EQ(message, "enough");
    });
  }
}

TEST(CoroCancellation, CanBeCaughtAndTheTaskGoesOn) {
  for (const Way way : kWays) {
    SCOPED_TRACE(static_cast<int>(way));
    run_in_loop([&]() -> Coro<> {
      auto task = create_task([&]() -> Coro<int> {
        int caught = 0;
        for (int i = 0; i < 2; ++i) {
          try {
            co_await wait_in(way);
          } catch (const CancelledError&) {
            ++caught;
            current_task()->state().task()->uncancel();
          }
        }
        co_await sleep(1s);
        co_return caught;
      });
      co_await sleep(0s);
      task.cancel();
      co_await sleep(0s);
      co_await sleep(0s);
      co_await sleep(0s);
      if (way != Way::kPass) task.cancel();
      const int caught = co_await task;
      EXPECT_EQ(caught, way == Way::kPass ? 1 : 2);
    });
  }
}

TEST(CoroCancellation, BeforeTheFirstStepRunsNothing) {
  run_in_loop([]() -> Coro<> {
    bool ran = false;
    auto task = create_task([&]() -> Coro<> {
      ran = true;
      co_return;
    });
    task.cancel();
    co_await ended(task);
    EXPECT_TRUE(task.cancelled());
    EXPECT_FALSE(ran);
    auto object = create_task(wait_in(Way::kSleep));
    object.cancel();
    co_await ended(object);
    EXPECT_TRUE(object.cancelled());
  });
}

TEST(CoroCancellation, OfTheRunningTaskIsRaisedAtItsNextCoAwait) {
  run_in_loop([]() -> Coro<> {
    for (const Way way : kWays) {
      auto task = create_task([way]() -> Coro<> {
        current_task()->cancel();
        co_await []() -> Coro<int> { co_return 1; };  // does not wait
        co_await wait_in(way);
      });
      co_await ended(task);
      EXPECT_TRUE(task.cancelled()) << static_cast<int>(way);
    }
  });
}

TEST(CoroCancellation, ReachesAFiberThatAwaitsACoroutine) {
  for (const Way way : kWays) {
    run_in_loop([&] {
      bool destroyed = false;
      auto task = create_task([&] {
        struct Mark {
          bool& flag;
          ~Mark() { flag = true; }
        };
        await([&]() -> Coro<> {
          const Mark mark{destroyed};
          co_await wait_in(way);
          co_await sleep(0s);
        });
      });
      await(sleep(0s));
      task.cancel();
      await(ended(task));
      EXPECT_TRUE(task.cancelled()) << static_cast<int>(way);
      EXPECT_TRUE(destroyed);
    });
  }
}

TEST(CoroTask, IsReportedWhenItFailedAndNobodyRead) {
  std::string text;
  run_in_loop([&]() -> Coro<> {
    get_running_loop().set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { text += context.message; });
    create_task([]() -> Coro<> {
      throw ValueError("unread");
      co_return;
    }).detach();
    co_await sleep(0s);
    co_await sleep(0s);
  });
  EXPECT_EQ(text, "Task exception was never retrieved");
}

// Each way to wait at the moment when the loop closes: the task is reported, its destructors run.
TEST(CoroTask, ThatIsPendingWhenItsLoopClosesIsReportedAndDestroyed) {
  for (const Way way : kWays) {
    SCOPED_TRACE(static_cast<int>(way));
    std::vector<std::string> messages;
    int destroyed = 0;
    TestLoop loop;
    loop.set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { messages.push_back(context.message); });
    struct Mark {
      int& count;
      explicit Mark(int& c) : count(c) {}
      ~Mark() { ++count; }
    };
    auto task = loop.create_task([&]() -> Coro<> {
      const Mark outer(destroyed);
      co_await [&]() -> Coro<> {
        const Mark inner(destroyed);
        for (;;) co_await wait_in(way);
      };
    });
    auto fiber = loop.create_task([&] {
      await([&]() -> Coro<> {
        const Mark mark(destroyed);
        for (;;) co_await wait_in(way);
      });
    });
    loop.run_until_complete([]() -> Coro<> { co_await sleep(0s); });
    loop.close();
    EXPECT_EQ(destroyed, 3);
    EXPECT_FALSE(task.done() || fiber.done());
    EXPECT_EQ(messages.size(), way == Way::kTask ? 4u : 2u);
  }
}

TEST(CoroTask, ThatNeverBeganIsDroppedWithItsLoop) {
  std::string text;
  TestLoop loop;
  loop.set_exception_handler(
      [&](EventLoop&, const ExceptionContext& context) { text += context.message + ";"; });
  auto task = loop.create_task(wait_in(Way::kSleep));
  loop.close();
  EXPECT_EQ(text, "Task was destroyed but it is pending!;");
}

TEST(CoroTask, IsCreatedOnAClosedLoopOnlyWithAnError) {
  TestLoop loop;
  loop.close();
  std::string text;
  set_log_sink([&](LogLevel, std::string_view line) { text += line; });
  EXPECT_THROW(static_cast<void>(loop.create_task(wait_in(Way::kSleep))), RuntimeError);
  set_log_sink(nullptr);
  EXPECT_EQ(text, "");
}

TEST(CoroTask, ReportsTheErrorOfAnAwaitOfItself) {
  run_in_loop([]() -> Coro<> {
    Task<> self;
    auto task = create_task([&]() -> Coro<> { co_await self; });
    self = task;
    std::string text;
    try {
      co_await task;
    } catch (const RuntimeError& error) {
      text = error.what();
    }
    EXPECT_NE(text.find("Task cannot await on itself"), std::string::npos);
    self = {};
  });
}

TEST(CoroTask, EndsALoopByKeyboardInterrupt) {
  TestLoop loop;
  auto task = loop.create_task([]() -> Coro<> {
    co_await sleep(1s);
    throw KeyboardInterrupt();
  });
  EXPECT_THROW(loop.run_forever(), KeyboardInterrupt);
  EXPECT_TRUE(task.done());
  try {
    task.result();
  } catch (const KeyboardInterrupt&) {
  }
  loop.close();
}

TEST(CoroTask, KeepsAGroupsOrderOfFailure) {
  run_in_loop([]() -> Coro<> {
    auto fail_after_time = [](Duration delay, const char* text) -> Coro<> {
      co_await sleep(delay);
      throw ValueError(text);
    };
    auto outer = create_task([&]() -> Coro<> {
      co_await task_group([&](TaskGroup& group) -> Coro<> {
        group.create_task(fail_after_time(2s, "second"));
        group.create_task(fail_after_time(1s, "first"));
        co_await sleep(10s);
      });
    });
    std::size_t errors = 0;
    try {
      co_await outer;
    } catch (const ExceptionGroup& group) {
      errors = group.exceptions().size();
    }
    EXPECT_EQ(errors, 1u);
  });
}

}  // namespace
}  // namespace aiofiber
