// SPDX-License-Identifier: Apache-2.0
//
// wait, wait_for, as_completed and sleep.
// Labels: long
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

TEST(Sleep, TakesExactlyItsTimeAndGivesItsResult) {
  run_in_loop([] {
    const TimePoint start = get_running_loop().time();
    EXPECT_EQ(await(sleep(1.5s, 3)), 3);
    EXPECT_EQ(get_running_loop().time() - start, 1500ms);
  });
}

TEST(Sleep, OfZeroGivesTheOthersOneTurn) {
  run_in_loop([] {
    bool ran = false;
    create_task([&] { ran = true; }).detach();
    await(sleep(0s));
    EXPECT_TRUE(ran);
  });
}

TEST(Wait, SortsItsInputsInOrder) {
  run_in_loop([] {
    std::vector<Task<int>> tasks{create_task(after, 3s, 0), create_task(after, 1s, 1),
                                 create_task(fail_after, 2s)};
    auto [done, pending] = await(wait(tasks, {.timeout = 2500ms}));
    ASSERT_EQ(done.size(), 2u);
    EXPECT_TRUE(done[0] == tasks[1]);
    EXPECT_TRUE(done[1] == tasks[2]);
    ASSERT_EQ(pending.size(), 1u);
    EXPECT_TRUE(pending[0] == tasks[0]);
    EXPECT_THROW(await(tasks[2]), ValueError);
    await(tasks[0]);
  });
}

TEST(Wait, ReturnsAtTheFirstCompletionOrTheFirstError) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    std::vector<Task<int>> tasks{create_task(after, 3s, 0), create_task(after, 1s, 1),
                                 create_task(fail_after, 2s)};
    const TimePoint start = loop.time();
    EXPECT_EQ(await(wait(tasks, {.return_when = FIRST_COMPLETED})).done.size(), 1u);
    EXPECT_EQ(loop.time() - start, 1s);
    EXPECT_EQ(await(wait(tasks, {.return_when = FIRST_EXCEPTION})).done.size(), 2u);
    EXPECT_EQ(loop.time() - start, 2s);
    EXPECT_EQ(await(wait(tasks)).done.size(), 3u);
    EXPECT_THROW(await(tasks[2]), ValueError);
  });
}

// How many errors are reported as never retrieved when wait() has returned because of an error, with an input
// that goes on or without one, and all handles are dropped.
int unread_after_wait(ReturnWhen return_when, bool another_goes_on) {
  int reports = 0;
  run_in_loop([&] {
    get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
      EXPECT_EQ(context.message, "Task exception was never retrieved");
      ++reports;
    });
    Task<int> other = create_task(after, 2s, 0);
    {
      std::vector<Task<int>> inputs{create_task(fail_after, 1s)};
      if (another_goes_on) inputs.push_back(other);
      EXPECT_EQ(await(wait(inputs, {.return_when = return_when})).done.size(), 1u);
    }
    await(other);
  });
  return reports;
}

// FIRST_EXCEPTION has to look for an error where inputs are left, and what was looked at counts as read.
TEST(Wait, ForTheFirstExceptionMarksItAsRead) {
  EXPECT_EQ(unread_after_wait(FIRST_EXCEPTION, true), 0);
  EXPECT_EQ(unread_after_wait(FIRST_EXCEPTION, false), 1);  // the last one ends the wait, whatever it is
  EXPECT_EQ(unread_after_wait(FIRST_COMPLETED, true), 1);
}

TEST(Wait, CountsTheSameFutureOnceAndRefusesNone) {
  run_in_loop([] {
    Task<int> task = create_task(after, 1s, 1);
    EXPECT_EQ(await(wait({task, task})).done.size(), 1u);
    EXPECT_THROW(await(wait(std::vector<Task<int>>())), ValueError);
  });
}

TEST(Wait, StartsCallables) {
  run_in_loop([] {
    std::vector<std::function<int()>> inputs{[] { return after(1s, 4); }};
    auto [done, pending] = await(wait(inputs));
    EXPECT_EQ(await(done.at(0)), 4);
  });
}

TEST(Wait, LeavesItsInputsAloneWhenCancelled) {
  run_in_loop([] {
    Task<int> input = create_task(after, 5s, 1);
    Task<> waiter = create_task([=] { await(wait({input})); });
    await(sleep(1s));
    waiter.cancel();
    EXPECT_THROW(await(waiter), CancelledError);
    EXPECT_EQ(await(input), 1);
  });
}

TEST(WaitFor, GivesTheResultInTime) {
  run_in_loop([] {
    EXPECT_EQ(await(wait_for([] { return after(1s, 1); }, 2s)), 1);
    EXPECT_EQ(await(wait_for([] { return after(1s, 2); }, std::nullopt)), 2);
  });
}

// CPython: test_waitfor.py AsyncioWaitForTest.test_wait_for
TEST(WaitFor, CancelsWhatTakesTooLong) {
  run_in_loop([] {
    const TimePoint start = get_running_loop().time();
    Task<int> slow = create_task(after, 5s, 1);
    EXPECT_THROW(await(wait_for(slow, 1s)), TimeoutError);
    EXPECT_TRUE(slow.cancelled());
    EXPECT_EQ(get_running_loop().time() - start, 1s);
  });
}

TEST(WaitFor, NeverStartsAFunctionWithoutTime) {
  run_in_loop([] {
    bool started = false;
    EXPECT_THROW(await(wait_for([&] { started = true; }, 0s)), TimeoutError);
    EXPECT_FALSE(started);
  });
}

TEST(WaitFor, GivesADoneResultWithoutTime) {
  run_in_loop([] {
    Future<int> one = get_running_loop().create_future<int>();
    one.set_result(1);
    EXPECT_EQ(await(wait_for(one, -1s)), 1);
  });
}

TEST(WaitFor, LetsAShieldedTaskGoOn) {
  run_in_loop([] {
    Task<int> slow = create_task(after, 5s, 1);
    EXPECT_THROW(await(wait_for(shield(slow), 1s)), TimeoutError);
    EXPECT_EQ(await(slow), 1);
  });
}

TEST(AsCompleted, DeliversInOrderOfCompletion) {
  run_in_loop([] {
    std::vector<std::function<int()>> inputs{[] { return after(3s, 3); }, [] { return after(1s, 1); },
                                             [] { return after(2s, 2); }};
    std::vector<int> seen;
    for (auto next : as_completed(inputs)) seen.push_back(await(next));
    EXPECT_EQ(seen, (std::vector{1, 2, 3}));
  });
}

TEST(AsCompleted, ThrowsTimeoutErrorForWhatIsMissing) {
  run_in_loop([] {
    std::vector<Task<int>> tasks{create_task(after, 3s, 3), create_task(after, 1s, 1)};
    int sum = 0;
    int late = 0;
    for (auto next : as_completed(tasks, 2s)) {
      try {
        sum += await(next);
      } catch (const TimeoutError&) {
        ++late;
      }
    }
    EXPECT_EQ(sum, 1);
    EXPECT_EQ(late, 1);
    EXPECT_EQ(await(tasks[0]), 3);
  });
}

}  // namespace
}  // namespace aiofiber
