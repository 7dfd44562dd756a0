// SPDX-License-Identifier: Apache-2.0
//
// gather and shield: results, errors, cancellation, and lifetimes of inputs.
// Labels: long
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/log.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

TEST(Gather, GivesResultsInArgumentOrder) {
  run_in_loop([] {
    auto [a, b, c] =
        await(gather([] { return after(3s, 1); }, [] {}, [] { return std::make_unique<int>(7); }));
    EXPECT_EQ(a, 1);
    EXPECT_EQ(b, std::monostate());
    EXPECT_EQ(*c, 7);
  });
}

TEST(Gather, RunsItsInputsAtTheSameTime) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    const TimePoint start = loop.time();
    std::vector<std::function<int()>> inputs;
    for (int i = 0; i < 10; ++i) inputs.emplace_back([i] { return after(1s, i); });
    const std::vector<int> results = await(gather(inputs));
    EXPECT_EQ(results.size(), 10u);
    EXPECT_EQ(results[9], 9);
    EXPECT_EQ(loop.time() - start, 1s);
  });
}

// CPython: test_tasks.py GatherTestsBase.test_one_exception
TEST(Gather, EndsWithTheFirstErrorWhileSiblingsGoOn) {
  run_in_loop([] {
    Task<int> sibling = create_task(after, 5s, 3);
    EXPECT_THROW(await(gather(sibling, [] { return fail_after(1s); })), ValueError);
    EXPECT_FALSE(sibling.done());
    EXPECT_EQ(await(sibling), 3);
  });
}

TEST(Gather, ReadsLaterErrorsSoThatTheyAreNotReported) {
  testing::TestLoop loop;
  int reports = 0;
  loop.set_exception_handler([&](EventLoop&, const ExceptionContext&) { ++reports; });
  loop.run_until_complete([] {
    EXPECT_THROW(await(gather([] { return fail_after(1s); }, [] { return fail_after(2s); })), ValueError);
    await(sleep(5s));
  });
  loop.close();
  EXPECT_EQ(reports, 0);
}

TEST(Gather, IsDoneAtOnceWhenAllInputsAre) {
  run_in_loop([] {
    Future<int> one = get_running_loop().create_future<int>();
    one.set_result(1);
    EXPECT_TRUE(gather(one, one).done());
    EXPECT_TRUE(gather().done());
  });
}

TEST(Gather, CollectsErrorsAsItems) {
  run_in_loop([] {
    auto [a, b] = await(gather(
        return_exceptions, [] { return fail_after(1s); }, [] { return after(2s, 4); }));
    EXPECT_FALSE(a.has_value());
    EXPECT_THROW(static_cast<void>(a.value()), ValueError);
    EXPECT_EQ(b.value(), 4);
  });
}

// CPython: test_tasks.py GatherTestsBase.test_cancellation_broadcast
TEST(Gather, PassesACancellationToAllInputs) {
  run_in_loop([] {
    Task<int> a = create_task(after, 5s, 1);
    Task<int> b = create_task(after, 6s, 2);
    Task<> waiter = create_task([=] { await(gather(a, b)); });
    await(sleep(1s));
    waiter.cancel("stop");
    try {
      await(waiter);
      ADD_FAILURE() << "not cancelled";
    } catch (const CancelledError& error) {
      EXPECT_EQ(error.message(), "stop");
    }
    EXPECT_TRUE(a.cancelled());
    EXPECT_TRUE(b.cancelled());
  });
}

TEST(Gather, HoldsTheCancellationOfOneInputAsAnException) {
  run_in_loop([] {
    Task<int> a = create_task(after, 5s, 1);
    auto both = gather(a, [] { return after(9s, 2); });
    await(sleep(0s));
    a.cancel("x");
    EXPECT_THROW(await(both), CancelledError);
    EXPECT_FALSE(both.cancelled());
  });
}

TEST(Gather, RefusesCancellationWhenItsInputsAreDone) {
  run_in_loop([] {
    Future<int> one = get_running_loop().create_future<int>();
    auto all = gather(one);
    one.set_result(1);
    EXPECT_FALSE(all.cancel());
    EXPECT_EQ(std::get<0>(await(all)), 1);
  });
}

TEST(Gather, CallsItsCallbackThoughEveryHandleWasDropped) {
  run_in_loop([] {
    Future<int> one = get_running_loop().create_future<int>();
    int seen = 0;
    gather(one).add_done_callback([&](Future<std::tuple<int>> all) { seen = std::get<0>(all.result()); });
    one.set_result(5);
    await(sleep(1s));
    EXPECT_EQ(seen, 5);
  });
}

TEST(Gather, DiesWithInputsThatNobodyCanComplete) {
  auto token = std::make_shared<int>(0);
  run_in_loop([token] {
    gather(get_running_loop().create_future<int>()).add_done_callback([token](const auto&) {});
    EXPECT_EQ(token.use_count(), 2);  // ours and the caller's: the callback went with the future
  });
}

TEST(Gather, IsFreedWhenItsLoopClosesUnderIt) {
  auto token = std::make_shared<int>(0);
  run_in_loop([token] {
    Task<> waiter = create_task([token] {
      Future<std::shared_ptr<int>> never = get_running_loop().create_future<std::shared_ptr<int>>();
      never.add_done_callback([token](const auto&) {});
      await(gather(
          never, [token] { await(sleep(100s)); }, shield([token] { await(sleep(100s)); })));
    });
    get_running_loop().set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    await(sleep(1s));
  });
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Gather, RefusesInputsOfDifferentLoops) {
  testing::TestLoop other;
  Future<int> foreign = other.create_future<int>();
  run_in_loop([&] {
    Future<int> mine = get_running_loop().create_future<int>();
    EXPECT_THROW(static_cast<void>(gather(mine, foreign)), ValueError);
  });
  other.close();
}

// CPython: test_tasks.py BaseTaskTests.test_shield_effect
TEST(Shield, KeepsACancellationFromTheInnerTask) {
  run_in_loop([] {
    Task<int> inner = create_task(after, 5s, 1);
    Task<int> outer = create_task([=] { return await(shield(inner)); });
    await(sleep(1s));
    outer.cancel();
    EXPECT_THROW(await(outer), CancelledError);
    EXPECT_EQ(await(inner), 1);
  });
}

TEST(Shield, GivesADoneFutureItself) {
  run_in_loop([] {
    Future<int> one = get_running_loop().create_future<int>();
    one.set_result(1);
    EXPECT_TRUE(shield(one) == one);
  });
}

TEST(Shield, IsCancelledWithItsInnerFuture) {
  run_in_loop([] {
    Future<int> inner = get_running_loop().create_future<int>();
    Future<int> outer = shield(inner);
    inner.cancel("lost");
    await(sleep(1s));
    EXPECT_TRUE(outer.cancelled());
  });
}

// CPython: tasks.py gather(), _done_callback() reads every input's exception before it looks at the
// cancellation.
TEST(Gather, ThatWasCancelledHasReadTheErrorsOfItsInputs) {
  std::string log;
  set_log_sink([&](LogLevel, std::string_view text) { log += text; });
  run_in_loop([] {
    const auto fails_when_cancelled = [] {
      try {
        await(sleep(std::chrono::hours(1)));
      } catch (const CancelledError&) {
        throw std::runtime_error("clean-up failed");
      }
    };
    auto waiting = create_task([&] {
      await(gather(
          return_exceptions, [] { await(sleep(std::chrono::hours(1))); }, fails_when_cancelled,
          fails_when_cancelled));
    });
    testing::wait_all_tasks_blocked();
    waiting.cancel();
    EXPECT_THROW(await(waiting), CancelledError);
  });
  set_log_sink({});
  EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace aiofiber
