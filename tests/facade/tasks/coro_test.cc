// SPDX-License-Identifier: Apache-2.0
//
// Coro: C++20 coroutines as tasks, awaited by fibers, and awaiting everything. coro_cancel_test has their
// cancellation, coro_stack_test what debuggers see.
// Labels: clang long
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "aiofiber/log.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;
using Log = std::vector<std::string>;

Coro<int> number(int value) { co_return value; }
Coro<int> number_after(Duration delay, int value) {
  co_await sleep(delay);
  co_return value;
}
Coro<> fail() {
  throw ValueError("boom");
  co_return;
}
Coro<int> sum(int a, int b) { co_return co_await number(a) + co_await number(b); }

TEST(Coro, DoesNothingBeforeItIsAwaited) {
  run_in_loop([] {
    bool ran = false;
    auto make = [&]() -> Coro<int> {
      ran = true;
      co_return 1;
    };
    Coro<int> coroutine = make();
    EXPECT_FALSE(ran);
    EXPECT_EQ(await(std::move(coroutine)), 1);
    EXPECT_TRUE(ran);
  });
}

TEST(Coro, IsAMainFunction) { EXPECT_EQ(run(sum(1, 2)), 3); }

TEST(Coro, AwaitsACoroThatCompletesAtOnceWithoutAPass) {
  TestLoop loop;
  EXPECT_EQ(loop.run_until_complete([&]() -> Coro<int> {
    const auto pass = loop.iteration();
    const int result = co_await sum(3, 4);
    EXPECT_EQ(loop.iteration(), pass);
    co_return result;
  }),
            7);
  loop.close();
}

TEST(Coro, GivesReferencesVoidAndMoveOnlyResults) {
  run_in_loop([]() -> Coro<> {
    static int object = 5;
    auto reference = []() -> Coro<int&> { co_return object; };
    EXPECT_EQ(&co_await reference(), &object);
    auto unique = []() -> Coro<std::unique_ptr<int>> { co_return std::make_unique<int>(6); };
    EXPECT_EQ(*co_await unique(), 6);
    auto nothing = []() -> Coro<void> { co_return; };
    co_await nothing();
    auto task = create_task(unique());
    EXPECT_EQ(*co_await std::move(task), 6);
    auto of_reference = create_task(reference());
    EXPECT_EQ(&co_await of_reference, &object);
  });
}

TEST(Coro, PassesExceptionsThroughAwaits) {
  run_in_loop([]() -> Coro<> {
    auto middle = []() -> Coro<> { co_await fail(); };
    bool caught = false;
    try {
      co_await middle();
    } catch (const ValueError& error) {
      caught = true;
      EXPECT_STREQ(error.what(), "boom");
    }
    EXPECT_TRUE(caught);
    auto task = create_task(middle());
    EXPECT_THROW(co_await task, ValueError);
  });
}

TEST(Coro, AwaitsFutureTaskCoroutineAndCallable) {
  run_in_loop([]() -> Coro<> {
    auto future = get_running_loop().create_future<std::string>();
    get_running_loop().call_later(1s, [future] { future.set_result("set"); });
    const std::string& looked_at = co_await future;
    EXPECT_EQ(looked_at, "set");
    EXPECT_EQ(co_await create_task(number_after(1s, 4)), 4);
    EXPECT_EQ(co_await create_task([] { return after(1s, 5); }), 5);
    EXPECT_EQ(co_await coroutine(after)(Duration(1s), 6), 6);
    EXPECT_EQ(
        co_await [] { return after(1s, 7); }, 7);
    EXPECT_EQ(
        co_await []() -> Coro<int> { co_return co_await number_after(1s, 8); }, 8);
    EXPECT_EQ(co_await sleep(1s, 9), 9);
  });
}

TEST(Coro, KeepsTheTimeOfSleeps) {
  TestLoop loop;
  loop.run_until_complete([&]() -> Coro<> {
    const auto start = loop.time();
    co_await sleep(2s);
    EXPECT_EQ(loop.time() - start, 2s);
    const auto pass = loop.iteration();
    co_await sleep(0s);
    EXPECT_EQ(loop.iteration(), pass + 1);
    co_await sleep(-1s);
    EXPECT_EQ(loop.iteration(), pass + 2);
  });
  loop.close();
}

TEST(Coro, RunsOnAStackOnlyWhereItNeedsOne) {
  run_in_loop([]() -> Coro<> {
    EXPECT_EQ(runtime::current_fiber(), nullptr);
    auto task = *current_task();
    co_await [&] {
      EXPECT_NE(runtime::current_fiber(), nullptr);
      EXPECT_EQ(*current_task(), task);
      await(sleep(1s));
      EXPECT_NE(runtime::current_fiber(), nullptr);
      EXPECT_EQ(*current_task(), task);
    };
    EXPECT_EQ(runtime::current_fiber(), nullptr);
    EXPECT_EQ(*current_task(), task);
    co_await sleep(1s);
    EXPECT_EQ(*current_task(), task);
  });
}

Coro<> take_from(Queue<int>& queue) { co_await queue.get(); }
Coro<> put_into(Queue<int>& queue) { co_await queue.put(2); }

TEST(Coro, WaitsWithoutAStackForEverythingOfTheLibrary) {
  run_in_loop([]() -> Coro<> {
    Lock lock;
    Event event;
    Semaphore semaphore(0);
    Condition condition(lock);
    Queue<int> empty, full(1);
    full.put_nowait(1);
    auto future = get_running_loop().create_future<int>();
    co_await lock.acquire();
    std::vector<Task<>> tasks;
    const auto add = [&](auto body) { tasks.push_back(create_task(body)); };
    add([&]() -> Coro<> { co_await sleep(1h); });
    add([&]() -> Coro<> { co_await future; });
    add([&]() -> Coro<> { co_await lock.acquire(); });
    add([&]() -> Coro<> { co_await event.wait(); });
    add([&]() -> Coro<> { co_await semaphore.acquire(); });
    add([&]() -> Coro<> { co_await take_from(empty); });
    add([&]() -> Coro<> { co_await put_into(full); });
    add([&]() -> Coro<> { co_await full.join(); });
    add([&]() -> Coro<> { co_await wait_for(future, 1h); });
    add([&]() -> Coro<> { co_await wait_for(number_after(1h, 1), 2h); });
    add([&]() -> Coro<> { co_await timeout(1h, [&]() -> Coro<> { co_await future; }); });
    add([&]() -> Coro<> {
      co_await task_group([&](TaskGroup& group) -> Coro<> {
        group.create_task(number_after(1h, 1));
        co_return;
      });
    });
    add([&]() -> Coro<> { co_await wait(std::vector<Future<int>>(1, future)); });
    add([&]() -> Coro<> {
      for (auto next : as_completed(std::vector<Future<int>>(1, future))) co_await std::move(next);
    });
    add([&]() -> Coro<> { co_await gather(future, number_after(1h, 1)); });
    add([&]() -> Coro<> { co_await shield(future); });
    co_await sleep(0s);
    co_await sleep(0s);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      EXPECT_FALSE(tasks[i].done()) << i;
      EXPECT_FALSE(tasks[i].done() || tasks[i].state().task()->fiber()->started()) << i;
      tasks[i].cancel();
    }
    co_await wait(tasks);
    for (const auto& task : tasks) EXPECT_TRUE(task.cancelled());
  });
}

TEST(Coro, IsAwaitedByAFiberInItsOwnTask) {
  run_in_loop([] {
    const auto task = *current_task();
    auto work = [&]() -> Coro<int> {
      EXPECT_EQ(*current_task(), task);
      co_await sleep(1s);
      EXPECT_EQ(*current_task(), task);
      co_return co_await [] { return await([]() -> Coro<int> { co_return co_await number_after(1s, 3); }); };
    };
    EXPECT_EQ(await(work()), 3);
    EXPECT_EQ(await(work), 3);
    EXPECT_THROW(await(fail()), ValueError);
  });
}

TEST(Coro, IsTakenByEveryFunctionThatTakesAnAwaitable) {
  run_in_loop([]() -> Coro<> {
    auto [a, b] = co_await gather(number(1), number_after(1s, 2));
    EXPECT_EQ(a + b, 3);
    std::vector<Coro<int>> many;
    many.push_back(number(1));
    many.push_back(number_after(2s, 2));
    const std::vector<int> results = co_await gather(std::move(many));  // g++ 12: no {1, 2} beside a co_await
    EXPECT_EQ(results, (std::vector{1, 2}));
    EXPECT_EQ(co_await wait_for(number_after(1s, 3), 2s), 3);
    EXPECT_THROW(co_await wait_for(number_after(3s, 3), 2s), TimeoutError);
    EXPECT_EQ(co_await shield(number_after(1s, 4)), 4);
    EXPECT_EQ(co_await ensure_future(number(5)), 5);
    std::vector<Coro<int>> to_wait;
    to_wait.push_back(number(6));
    auto [done, pending] = co_await wait(std::move(to_wait));
    EXPECT_EQ(done.at(0).result(), 6);
    std::vector<Coro<int>> racing;
    racing.push_back(number_after(2s, 2));
    racing.push_back(number_after(1s, 1));
    std::vector<int> order;
    for (auto next : as_completed(std::move(racing))) order.push_back(co_await std::move(next));
    EXPECT_EQ(order, (std::vector{1, 2}));
  });
}

TEST(Coro, IsABodyOfTimeoutsAndGroups) {
  run_in_loop([]() -> Coro<> {
    EXPECT_EQ(co_await timeout(2s, []() -> Coro<int> { co_return co_await number_after(1s, 3); }), 3);
    EXPECT_THROW(co_await timeout(1s, []() -> Coro<> { co_await sleep(2s); }), TimeoutError);
    const int total = co_await task_group([](TaskGroup& group) -> Coro<int> {
      auto one = group.create_task(number_after(1s, 1));
      auto two = group.create_task([]() -> Coro<int> { co_return co_await number_after(1s, 2); });
      co_return co_await one + co_await two;
    });
    EXPECT_EQ(total, 3);
    bool caught = false;
    try {
      co_await task_group([](TaskGroup& group) -> Coro<> {
        group.create_task(fail());
        co_await sleep(10s);
      });
    } catch (const ExceptionGroup& errors) {
      caught = true;
      EXPECT_EQ(errors.exceptions().size(), 1u);
    }
    EXPECT_TRUE(caught);
  });
}

TEST(Coro, SharesLocksAndQueuesWithFibers) {
  run_in_loop([]() -> Coro<> {
    Queue<int> queue(1);
    auto producer = create_task([&] {
      for (int i = 0; i < 3; ++i) await(queue.put(i));
    });
    int total = 0;
    for (int i = 0; i < 3; ++i) total += co_await queue.get();
    EXPECT_EQ(total, 3);
    co_await producer;
    Lock lock;
    co_await lock.acquire();
    auto waiting = create_task([&]() -> Coro<int> {
      co_await lock.acquire();
      lock.release();
      co_return 1;
    });
    co_await sleep(0s);
    lock.release();
    EXPECT_EQ(co_await waiting, 1);
    Event event;
    auto waiter = create_task([&]() -> Coro<bool> { co_return co_await event.wait(); });
    co_await sleep(0s);
    event.set();
    EXPECT_TRUE(co_await waiter);
  });
}

// In real time, because a thread does the work.
TEST(Coro, AwaitsAThread) {
  run([]() -> Coro<> { EXPECT_EQ(co_await to_thread([] { return 4; }), 4); });
}

TEST(Coro, IsKnownToIscoroutine) {
  Coro<int> one = number(1);
  EXPECT_TRUE(iscoroutine(one));
  EXPECT_FALSE(isfuture(one));
  one.close();
  auto decorated = coroutine(number);
  EXPECT_TRUE(iscoroutinefunction(decorated));
  EXPECT_TRUE(iscoroutinefunction(number));
  EXPECT_TRUE(iscoroutinefunction(&number_after));
  EXPECT_TRUE(iscoroutinefunction([](int) -> Coro<> { co_return; }));
  EXPECT_FALSE(iscoroutinefunction(after));
  EXPECT_FALSE(iscoroutinefunction(5));
  EXPECT_EQ(run(decorated(3)), 3);
}

TEST(Coro, RunsOnce) {
  run_in_loop([]() -> Coro<> {
    Coro<int> once = number(1);
    EXPECT_EQ(co_await once, 1);
    EXPECT_THROW(co_await once, RuntimeError);
    Coro<int> moved = number(2);
    Coro<int> target = std::move(moved);
    EXPECT_EQ(co_await target, 2);
    co_await [&] { EXPECT_THROW(await(once), RuntimeError); };
  });
}

TEST(Coro, HasOneAwaitAtATime) {
  run_in_loop([]() -> Coro<> {
    Coro<int> named = number_after(1s, 3);
    auto first = create_task([&]() -> Coro<int> { co_return co_await named; });
    co_await sleep(0s);
    std::string text;
    try {
      co_await named;
    } catch (const RuntimeError& error) {
      text = error.what();
    }
    EXPECT_EQ(text, "coroutine is being awaited already");
    Coro<int> moved = std::move(named);
    moved.close();
    EXPECT_THROW(co_await std::move(moved), RuntimeError);
    EXPECT_EQ(co_await first, 3);
    try {
      co_await moved;
    } catch (const RuntimeError& error) {
      text = error.what();
    }
    EXPECT_EQ(text, "cannot reuse already awaited coroutine");
  });
  run_in_loop([] {
    std::optional<Coro<int>> named = number_after(1s, 4);
    auto first = create_task([&] { return await(*named); });
    await(sleep(0s));
    named.reset();
    EXPECT_EQ(await(first), 4);
  });
}

TEST(Coro, ThatIsDroppedIsReported) {
  std::string text;
  set_log_sink([&](LogLevel, std::string_view line) { text += line; });
  { [[maybe_unused]] auto dropped = number(1); }
  EXPECT_NE(text.find("number' was never awaited"), std::string::npos) << text;
  text.clear();
  number(1).close();
  EXPECT_EQ(text, "");
  set_log_sink(nullptr);
}

TEST(Coro, RefusesAwaitInAFunctionThatItCalls) {
  run_in_loop([]() -> Coro<> {
    std::string text;
    try {
      after(1s, 1);
    } catch (const RuntimeError& error) {
      text = error.what();
    }
    EXPECT_NE(text.find("co_await [&]"), std::string::npos) << text;
    EXPECT_THROW(await(number(1)), RuntimeError);
    EXPECT_EQ(
        co_await [] { return after(1s, 1); }, 1);
  });
}

TEST(Coro, EndsAChainOfAnyLengthWithoutStack) {
  run_in_loop([]() -> Coro<> {
    long total = 0;
    for (int i = 0; i < 1'000'000; ++i) total += co_await number(1);
    EXPECT_EQ(total, 1'000'000);
  });
}

Coro<long> recurse(long depth) {
  if (depth == 0) {
    co_await sleep(1s);
    co_return 0;
  }
  co_return 1 + co_await recurse(depth - 1);
}

TEST(Coro, RecursesAsDeepAsMemoryAllows) {
  run_in_loop([]() -> Coro<> { EXPECT_EQ(co_await recurse(100'000), 100'000); });
  run_in_loop([] { EXPECT_EQ(await(recurse(100'000)), 100'000); });
}

TEST(Coro, OfAnyDepthIsDestroyedWithoutStack) {
  TestLoop loop;
  auto task = loop.create_task(recurse(100'000));
  loop.run_until_complete([] { await(sleep(0s)); });
  set_log_sink([](LogLevel, std::string_view) {});
  loop.close();
  set_log_sink(nullptr);
  EXPECT_FALSE(task.done());
}

TEST(Coro, StartsEagerly) {
  run_in_loop([] {
    Log log;
    auto work = [&](std::string name, bool needs_stack) -> Coro<int> {
      log.push_back(name + " begins");
      if (needs_stack) co_await [&] { log.push_back(name + " on a stack"); };
      co_await sleep(0s);
      log.push_back(name + " ends");
      co_return 1;
    };
    auto a = create_task(TaskOptions{.eager_start = true}, work, "a", false);
    log.push_back("made a");
    auto b = create_task(work("b", true), {.eager_start = true});
    log.push_back("made b");
    const int of_c = await([&]() -> Coro<int> {
      auto c = create_task(work("c", true), {.eager_start = true});
      log.push_back("made c");
      co_return co_await c;
    });
    EXPECT_EQ(of_c + await(a) + await(b), 3);
    EXPECT_EQ(log, (Log{"a begins", "made a", "b begins", "b on a stack", "made b", "c begins",
                        "c on a stack", "made c", "a ends", "b ends", "c ends"}));
  });
  run_in_loop([]() -> Coro<> {
    Log log;
    auto work = [&](std::string name) -> Coro<> {
      log.push_back(name + " begins");
      co_await [&] { log.push_back(name + " on a stack"); };
      if (name == "outer") {
        // Named, because g++ 12 breaks an aggregate in an expression with co_await.
        auto inner = create_task(TaskOptions{.eager_start = true},
                                 [&]() -> Coro<> { co_await [&] { log.push_back("inner on a stack"); }; });
        co_await inner;
      }
      log.push_back(name + " goes on");
      co_await sleep(0s);
    };
    auto task = create_task(work("outer"), {.eager_start = true});
    log.push_back("made");
    co_await task;
    EXPECT_EQ(log, (Log{"outer begins", "outer on a stack", "inner on a stack", "outer goes on", "made"}));
  });
}

TEST(Coro, HasItsTasksContextAndName) {
  run_in_loop([]() -> Coro<> {
    static ContextVar<int> variable("variable", 0);
    variable.set(1);
    auto named = create_task(TaskOptions{.name = "named"}, []() -> Coro<int> {
      variable.set(variable.get() + 1);
      co_await sleep(1s);
      EXPECT_EQ(current_task()->get_name(), "named");
      co_return variable.get();
    });
    EXPECT_EQ(co_await named, 2);
    EXPECT_EQ(variable.get(), 1);
  });
}

}  // namespace
}  // namespace aiofiber
