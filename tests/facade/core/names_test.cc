// SPDX-License-Identifier: Apache-2.0
//
// Small parts of the public names: repr() by its full name, empty handles, const handles, contexts of
// callbacks, exceptions with data, seeds, ids of callbacks.
// Labels: threads long
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "aiofiber/exception_context.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;

}  // namespace
}  // namespace aiofiber

// Outside of the library's namespace, as a program is.
TEST(Repr, IsFoundByItsFullName) {
  namespace asyncio = aiofiber;
  asyncio::testing::TestLoop loop;
  loop.run_until_complete([&] {
    const asyncio::Future<int> future = loop.create_future<int>();
    EXPECT_EQ(asyncio::repr(future), "<Future pending>");
    EXPECT_EQ(aiofiber::repr(future), repr(future));
    const asyncio::Task<void> task = asyncio::create_task([] {});
    EXPECT_EQ(aiofiber::repr(task).rfind("<Task pending name='Task-", 0), 0u) << aiofiber::repr(task);
    EXPECT_EQ(aiofiber::repr(asyncio::AnyTask(task)), repr(task));
    EXPECT_EQ(aiofiber::repr(asyncio::AnyFuture()), "<Future empty>");
    EXPECT_EQ(aiofiber::repr(loop.call_soon([] {})).rfind("<Handle ", 0), 0u);
    EXPECT_EQ(aiofiber::repr(loop.call_later(std::chrono::seconds(1), [] {})).rfind("<TimerHandle when=1", 0),
              0u);
    EXPECT_EQ(aiofiber::repr(asyncio::Handle()), "<Handle empty>");
    const auto begins = [](const std::string& text, const std::string& beginning) {
      return text.rfind(beginning, 0) == 0;
    };
    EXPECT_TRUE(begins(aiofiber::repr(asyncio::Lock()), "<asyncio.locks.Lock object at "));
    EXPECT_TRUE(begins(aiofiber::repr(asyncio::Event()), "<asyncio.locks.Event object at "));
    EXPECT_TRUE(begins(aiofiber::repr(asyncio::Condition()), "<asyncio.locks.Condition object at "));
    EXPECT_TRUE(
        begins(aiofiber::repr(asyncio::BoundedSemaphore()), "<asyncio.locks.BoundedSemaphore object at "));
    EXPECT_TRUE(begins(aiofiber::repr(asyncio::Barrier(2)), "<asyncio.locks.Barrier object at "));
    asyncio::PriorityQueue<int> queue(3);
    queue.put_nowait(1);
    EXPECT_EQ(aiofiber::repr(queue), "<PriorityQueue maxsize=3 _queue=[1] tasks=1>");
    EXPECT_EQ(repr(queue), aiofiber::repr(queue));
    asyncio::await(asyncio::timeout(std::nullopt, [](asyncio::Timeout& scope) {
      EXPECT_EQ(aiofiber::repr(scope), "<Timeout [active] when=None>");
    }));
    asyncio::await(asyncio::task_group(
        [](asyncio::TaskGroup& group) { EXPECT_EQ(aiofiber::repr(group), "<TaskGroup entered>"); }));
    EXPECT_TRUE(
        begins(aiofiber::repr(static_cast<const asyncio::EventLoop&>(loop)), "<EventLoop running=True"));
    EXPECT_EQ(aiofiber::repr(std::make_exception_ptr(asyncio::ValueError("x"))), "ValueError('x')");
    EXPECT_EQ(aiofiber::repr(asyncio::ExceptionContext{}), "{}");
  });
  loop.close();
}

namespace aiofiber {
namespace {

TEST(Handle, MayBeEmptyUntilItIsGiven) {
  struct Watchdog {
    TimerHandle timer;
    Handle soon;
  } watchdog;
  EXPECT_FALSE(watchdog.timer.valid());
  watchdog.timer.cancel();
  EXPECT_FALSE(watchdog.timer.cancelled());
  EXPECT_THROW(static_cast<void>(watchdog.timer.when()), RuntimeError);
  EXPECT_TRUE(watchdog.soon == Handle());
  TestLoop loop;
  watchdog.timer = loop.call_later(2s, [] { FAIL(); });
  EXPECT_TRUE(watchdog.timer.valid());
  EXPECT_EQ(watchdog.timer.when(), TimePoint(2s));
  const Handle copy = watchdog.timer;
  copy.cancel();
  EXPECT_TRUE(watchdog.timer.cancelled());
  EXPECT_EQ(loop.live_timers(), 0u);
  loop.close();
}

TEST(Handles, AreConstAsThePointersTheyAre) {
  run_in_loop([] {
    const Future<int> future = get_running_loop().create_future<int>();
    EXPECT_TRUE(future.cancel("why"));
    const Task<void> task = create_task([] { await(sleep(1s)); });
    task.set_name("renamed");
    EXPECT_EQ(task.get_name(), "renamed");
    task.cancel();
    EXPECT_EQ(task.uncancel(), 0);
    EXPECT_TRUE(AnyTask(task).cancel());
  });
}

ContextVar<int> variable("names", 1);

TEST(Contexts, AreGivenToCallbacks) {
  TestLoop loop;
  const Context context;
  context.run([] { variable.set(5); });
  std::vector<int> seen;
  const auto look = [&](int step) {
    seen.push_back(variable.get());
    variable.set(variable.get() + step);
  };
  loop.call_soon({.context = context}, look, 1);
  loop.call_soon(look, 1);
  loop.call_soon_threadsafe({.context = context}, look, 1);
  loop.call_later({.context = context}, 1s, look, 1);
  const CallbackOptions options{.context = context};
  loop.call_at(options, TimePoint(2s), look, 1);
  auto future = loop.create_future<void>();
  future.add_done_callback([&](const Future<void>&) { look(1); }, {.context = context});
  AnyFuture(future).add_done_callback([&](const AnyFuture&) { look(1); });
  loop.call_later(3s, [&] { future.set_result(); });
  loop.advance(4s);
  EXPECT_EQ(seen, (std::vector<int>{5, 1, 6, 7, 8, 9, 1})) << "one context, changed by each of its callbacks";
  EXPECT_EQ(context.run([] { return variable.get(); }), 10);
  EXPECT_EQ(variable.get(), 1);
  loop.close();
}

TEST(CallbackIds, AreUniqueInAProcess) {
  EventLoop loop;
  auto future = loop.create_future<int>();
  std::string ran;
  future.add_done_callback([&](const Future<int>&) { ran += 'x'; });
  const CallbackId kept = future.add_done_callback([&](const Future<int>&) { ran += 'a'; });
  std::thread([&] {
    loop.run_until_complete([&] {
      const CallbackId removed = future.add_done_callback([&](const Future<int>&) { ran += 'b'; });
      EXPECT_NE(kept, removed);
      EXPECT_EQ(future.remove_done_callback(removed), 1u);
      future.set_result(1);
      aiofiber::await(aiofiber::sleep(0s));
    });
  }).join();
  EXPECT_EQ(ran, "xa");
  loop.close();
}

// CPython: test_exception_group.py TestExceptionGroupTypeHierarchy.test_bad_EG_construction__too_few_args and
// the two after it
TEST(ExceptionGroup, HasMembers) {
  const auto what = [](auto make) -> std::string {
    try {
      make();
    } catch (const ValueError& error) {
      return error.what();
    }
    return "";
  };
  const auto one = std::make_exception_ptr(std::out_of_range("x"));
  const std::string empty = "second argument (exceptions) must be a non-empty sequence";
  const std::string null = "Item 1 of second argument (exceptions) is not an exception";
  EXPECT_EQ(what([] { ExceptionGroup("none", {}); }), empty);
  EXPECT_EQ(what([] { BaseExceptionGroup("none", {}); }), empty);
  EXPECT_EQ(what([] { make_exception_group("none", {}); }), empty);
  EXPECT_EQ(what([&] { ExceptionGroup("null", {one, nullptr}); }), null);
  EXPECT_EQ(what([&] { make_exception_group("null", {one, nullptr}); }), null);
  EXPECT_EQ(ExceptionGroup("one", {one}).exceptions().size(), 1u);
}

TEST(StreamErrors, SayHowFarTheyGot) {
  const IncompleteReadError known("ab", 5);
  EXPECT_EQ(known.partial(), "ab");
  EXPECT_EQ(known.expected(), 5u);
  EXPECT_STREQ(known.what(), "2 bytes read on a total of 5 expected bytes");
  const IncompleteReadError unknown("", std::nullopt);
  EXPECT_EQ(unknown.expected(), std::nullopt);
  EXPECT_STREQ(unknown.what(), "0 bytes read on a total of undefined expected bytes");
  const LimitOverrunError overrun("Separator is not found, and chunk exceed the limit", 64);
  EXPECT_EQ(overrun.consumed(), 64u);
  EXPECT_EQ(repr(std::make_exception_ptr(overrun)),
            "LimitOverrunError('Separator is not found, and chunk exceed the limit')");
  static_assert(std::is_nothrow_copy_constructible_v<IncompleteReadError>);
}

// The order in which ten timers run that are due at the same time.
std::string order_of_equal_timers(std::optional<std::uint64_t> seed) {
  std::optional<testing::Seed> scope;
  if (seed) scope.emplace(*seed);
  TestLoop loop;
  std::string order;
  for (char name = 'a'; name <= 'j'; ++name) loop.call_at(TimePoint(1s), [&order, name] { order += name; });
  loop.call_later(2s, [&order] { order += '.'; });
  loop.advance(3s);
  loop.close();
  return order;
}

TEST(Seed, ChoosesAmongTimersThatAreDueTogether) {
  EXPECT_EQ(order_of_equal_timers(std::nullopt), "abcdefghij.");
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::string order = order_of_equal_timers(seed);
    EXPECT_EQ(order, order_of_equal_timers(seed)) << "the same seed, the same order";
    EXPECT_EQ(order.back(), '.') << "later ones stay later";
    seen.insert(order);
  }
  EXPECT_GT(seen.size(), 15u);
}

}  // namespace
}  // namespace aiofiber
