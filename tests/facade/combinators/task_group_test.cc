// SPDX-License-Identifier: Apache-2.0
//
// task_group(): children, errors, and cancellation from both sides.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

void fail_with(std::string text, Duration delay) {
  await(sleep(delay));
  throw ValueError(text);
}
std::vector<std::string> messages(const ExceptionGroup& group) {
  std::vector<std::string> texts;
  for (const std::exception_ptr& error : group.exceptions()) texts.push_back(format_exception(error));
  return texts;
}

// CPython: test_taskgroups.py TestTaskGroup.test_taskgroup_01
TEST(TaskGroup, WaitsForItsChildrenAndGivesTheBodysValue) {
  run_in_loop([] {
    int finished = 0;
    const int value = await(task_group([&](TaskGroup& tg) {
      tg.create_task([&] {
        await(sleep(1s));
        ++finished;
        tg.create_task([&] {
          await(sleep(1s));
          ++finished;
        });
      });
      return 7;
    }));
    EXPECT_EQ(value, 7);
    EXPECT_EQ(finished, 2);
  });
}

TEST(TaskGroup, CancelsSiblingsInOrderOfCreationAndCollectsErrors) {
  run_in_loop([] {
    std::vector<int> cancelled;
    auto sleeper = [&](int id) {
      try {
        await(sleep(100s));
      } catch (const CancelledError&) {
        cancelled.push_back(id);
        throw;
      }
    };
    try {
      await(task_group([&](TaskGroup& tg) {
        tg.create_task(sleeper, 1);
        tg.create_task(fail_with, "first", 1s);
        tg.create_task([] {
          try {
            await(sleep(100s));
          } catch (const CancelledError&) {
            throw ValueError("second");
          }
        });
        tg.create_task(sleeper, 2);
        await(sleep(100s));
      }));
      ADD_FAILURE() << "no error";
    } catch (const ExceptionGroup& group) {
      EXPECT_EQ(group.message(), "unhandled errors in a TaskGroup");
      EXPECT_EQ(messages(group), (std::vector<std::string>{"ValueError: first", "ValueError: second"}));
    }
    EXPECT_EQ(cancelled, (std::vector{1, 2}));
    EXPECT_EQ(current_task()->cancelling(), 0);
  });
}

TEST(TaskGroup, PutsTheBodysErrorLast) {
  run_in_loop([] {
    try {
      await(task_group([](TaskGroup& tg) {
        tg.create_task([] {
          try {
            await(sleep(100s));
          } catch (const CancelledError&) {
            throw ValueError("child");
          }
        });
        await(sleep(1s));
        throw ValueError("body");
      }));
      ADD_FAILURE() << "no error";
    } catch (const ExceptionGroup& group) {
      EXPECT_EQ(messages(group), (std::vector<std::string>{"ValueError: child", "ValueError: body"}));
    }
  });
}

TEST(TaskGroup, PassesAnOutsideCancellationOn) {
  run_in_loop([] {
    bool child_cancelled = false;
    Task<> task = create_task([&] {
      await(task_group([&](TaskGroup& tg) {
        tg.create_task([&] {
          try {
            await(sleep(100s));
          } catch (const CancelledError&) {
            child_cancelled = true;
            throw;
          }
        });
      }));
    });
    await(sleep(1s));
    task.cancel("out");
    try {
      await(task);
      ADD_FAILURE() << "not cancelled";
    } catch (const CancelledError& error) {
      EXPECT_EQ(error.message(), "out");
    }
    EXPECT_TRUE(child_cancelled);
  });
}

TEST(TaskGroup, DoesNotCountACancelledChildAsAnError) {
  run_in_loop([] {
    await(task_group([](TaskGroup& tg) {
      auto child = tg.create_task([] { await(sleep(100s)); });
      await(sleep(1s));
      child.cancel();
    }));
  });
}

TEST(TaskGroup, RefusesChildrenWhileItShutsDown) {
  run_in_loop([] {
    EXPECT_THROW(await(task_group([](TaskGroup& tg) {
                   tg.create_task(fail_with, "x", 1s);
                   try {
                     await(sleep(10s));
                   } catch (const CancelledError&) {
                     EXPECT_EQ(repr(tg), "<TaskGroup errors=1 cancelling>");
                     EXPECT_THROW(tg.create_task([] {}), RuntimeError);
                     throw;
                   }
                 })),
                 ExceptionGroup);
  });
}

TEST(TaskGroup, EndsByTheTimeoutAroundIt) {
  run_in_loop([] {
    EXPECT_THROW(
        await(timeout(
            1s, [] { await(task_group([](TaskGroup& tg) { tg.create_task([] { await(sleep(10s)); }); })); })),
        TimeoutError);
  });
}

TEST(TaskGroup, IsTornDownByALoopThatCloses) {
  bool unwound = false;
  {
    EventLoop loop;
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    loop.create_task([&] {
          struct Mark {
            bool& flag;
            ~Mark() { flag = true; }
          } mark{unwound};
          await(task_group([](TaskGroup& tg) {
            tg.create_task([] { await(sleep(100s)); });
            tg.create_task([] { await(sleep(100s)); });
          }));
        })
        .detach();
    loop.run_until_complete([] { await(sleep(0s)); });
    loop.close();
  }
  EXPECT_TRUE(unwound);
}

}  // namespace
}  // namespace aiofiber
