// SPDX-License-Identifier: Apache-2.0
//
// The stacks and tracebacks of tasks with C++20 coroutines: suspended coroutines and stack frames in one
// list. The program under test is in its own namespace, because stacks leave out frames of aiofiber.
// Labels: debuginfo long
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;
using aio::Coro;
using Names = std::vector<std::string>;

// The program's frames as "function:line", outermost first.
Names places(const std::vector<aio::Frame>& frames) {
  Names names;
  for (const aio::Frame& frame : frames) {
    if (!frame.function.starts_with("app::")) continue;
    EXPECT_TRUE(frame.file.ends_with("tests/facade/tasks/coro_stack_test.cc")) << frame.file;
    names.push_back(frame.function.substr(5) + ":" + std::to_string(frame.line));
  }
  return names;
}
std::string at(const std::string& function, int line) { return function + ":" + std::to_string(line); }

// ---- the program: outer() awaits middle(), which awaits leaf()

constexpr int kLeaf = __LINE__ + 2;
Coro<int> leaf(aio::Future<int> future) {
  const int value = co_await future;
  co_return value + 1;
}
constexpr int kMiddle = __LINE__ + 4;
template <class T>
Coro<T> middle(aio::Future<T> future) {
  co_await aio::sleep(0s);
  co_return co_await leaf(future);
}
constexpr int kOuter = __LINE__ + 3;
struct Service {
  Coro<int> outer(aio::Future<int> future) const {
    const int value = co_await middle(future);
    co_return value + 1;
  }
};
Names chain() { return {at("Service::outer", kOuter), at("middle<int>", kMiddle), at("leaf", kLeaf)}; }
Names operator+(Names left, const Names& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// Lets all tasks run until they wait.
void settle() {
  for (int i = 0; i < 5; ++i) await(aio::sleep(0s));
}

TEST(CoroStack, OfATaskWithoutAStackIsItsChainOfCoroutines) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(Service().outer(future));
    settle();
    EXPECT_EQ(places(task.get_stack()), chain());
    EXPECT_EQ(places(task.get_stack(2)), (Names{at("middle<int>", kMiddle), at("leaf", kLeaf)}));
    future.set_result(1);
    EXPECT_EQ(await(task), 3);
    EXPECT_TRUE(task.get_stack().empty());
  });
}

TEST(CoroStack, OfATaskThatHasNotStartedIsItsFunction) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(leaf(future));
    EXPECT_EQ(places(task.get_stack()), Names{at("leaf", kLeaf - 1)});
    auto lambda = aio::create_task([future]() -> Coro<int> { co_return co_await leaf(future); });
    ASSERT_EQ(lambda.get_stack().size(), 1u);
    EXPECT_EQ(lambda.get_stack()[0].line, __LINE__ - 2);
    future.set_result(1);
    await(aio::gather(task, lambda));
  });
}

// ---- fibers and coroutines that await each other

constexpr int kFiber = __LINE__ + 2;
__attribute__((noinline)) int fiber(aio::Future<int> future) {
  const int value = await(Service().outer(future));
  asm volatile("");
  return value;
}
constexpr int kCallee = __LINE__ + 4, kBorrower = __LINE__ + 8;
Coro<int> borrower(aio::Future<int> future) {
  // In a statement of its own: compilers differ in the line of a co_await that takes several.
  const auto call = [&] {
    const int result = fiber(future);
    asm volatile("");
    return result;
  };
  co_return co_await call;
}
Names borrowed() {
  return Names{at("borrower", kBorrower), at("borrower::{lambda}", kCallee), at("fiber", kFiber)} + chain();
}
constexpr int kNested = __LINE__ + 2;
__attribute__((noinline)) int nested(aio::Future<int> future) {
  const int value = await(borrower(future));
  asm volatile("");
  return value;
}

TEST(CoroStack, OfAFiberThatAwaitsACoroutineBeginsWithTheFiber) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(fiber, future);
    settle();
    EXPECT_EQ(places(task.get_stack()), Names{at("fiber", kFiber)} + chain());
    future.set_result(1);
    EXPECT_EQ(await(task), 3);
  });
}

TEST(CoroStack, OfABorrowedStackBeginsWithTheCoroutineThatBorrowsIt) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(borrower(future));
    settle();
    EXPECT_EQ(places(task.get_stack()), borrowed());
    future.set_result(1);
    EXPECT_EQ(await(task), 3);
  });
}

TEST(CoroStack, MixesFramesAndCoroutinesInTheOrderOfTheirCalls) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(nested, future);
    settle();
    EXPECT_EQ(places(task.get_stack()), Names{at("nested", kNested)} + borrowed());
    future.set_result(1);
    EXPECT_EQ(await(task), 3);
  });
}

// ---- coroutines that run

__attribute__((noinline)) Names own_stack() {
  Names names = places(aio::current_task()->get_stack());
  asm volatile("" ::: "memory");
  return names;
}
constexpr int kOwnStack = __LINE__ - 4;
constexpr int kLooker = __LINE__ + 3;
Coro<Names> looker() {
  co_await aio::sleep(1s);
  const Names names = own_stack();
  co_await aio::sleep(0s);
  co_return names;
}
constexpr int kAsker = __LINE__ + 2;
Coro<Names> asker() {
  Names names = co_await looker();
  co_return names;
}

TEST(CoroStack, OfTheCurrentTaskEndsInTheFunctionThatItsCoroutineCalls) {
  aiofiber::run_in_loop([] {
    const Names seen{at("asker", kAsker), at("looker", kLooker), at("own_stack", kOwnStack)};
    EXPECT_EQ(await(aio::create_task(asker())), seen);
    const Names in_fiber = await(aio::create_task([] { return await(asker()); }));
    ASSERT_EQ(in_fiber.size(), 4u);
    EXPECT_EQ(Names(in_fiber.begin() + 1, in_fiber.end()), seen);
  });
}

// A coroutine on a fiber's stack may call a function that suspends the fiber.
constexpr int kCaller = __LINE__ + 2;
Coro<int> caller(aio::Future<int> future) {
  const int value = fiber(future);
  co_return value;
}
constexpr int kDriver = __LINE__ + 2;
Coro<int> driver(aio::Future<int> future) {
  const int value = co_await caller(future);
  co_return value;
}
TEST(CoroStack, OfARunningCoroutineShowsItOnce) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task([future] { return await(driver(future)); });
    settle();
    Names seen = places(task.get_stack());
    ASSERT_FALSE(seen.empty());
    seen.erase(seen.begin());
    const Names expected{at("driver", kDriver), at("caller", kCaller), at("fiber", kFiber)};
    EXPECT_EQ(seen, expected + chain());
    future.set_result(1);
    EXPECT_EQ(await(task), 3);
  });
}

// ---- tracebacks

constexpr int kThrower = __LINE__ + 1;
__attribute__((noinline)) void thrower() { throw std::runtime_error("boom"); }
constexpr int kFailing = __LINE__ + 3;
Coro<> failing() {
  co_await aio::sleep(0s);
  thrower();
}
constexpr int kFailingCaller = __LINE__ + 2;
Coro<> failing_caller() {
  co_await failing();
  co_return;
}
constexpr int kFailingFiber = __LINE__ + 2;
__attribute__((noinline)) void failing_fiber() {
  await(failing_caller());
  asm volatile("");
}
constexpr int kFailingBorrower = __LINE__ + 2;
Coro<> failing_borrower() {
  co_await failing_fiber;
  co_return;
}
constexpr int kParent = __LINE__ + 2;
Coro<> parent(aio::Task<> child) {
  co_await child;
  co_return;
}
constexpr int kGrandparent = __LINE__ + 2;
Coro<> grandparent(aio::Task<> child) {
  co_await parent(child);
  co_return;
}
Names failure() {
  return {at("failing_caller", kFailingCaller), at("failing", kFailing), at("thrower", kThrower)};
}
template <class Awaitable>
Names traceback_of(Awaitable awaitable) {
  auto task = aio::create_task(std::move(awaitable));
  await(aio::wait({task}));
  Names names = places(task.get_stack());
  EXPECT_NE(task.exception(), nullptr);
  return names;
}

TEST(CoroTraceback, LeadsFromTheOutermostCoroutineToTheThrow) {
  aiofiber::run_in_loop([] { EXPECT_EQ(traceback_of(failing_caller()), failure()); });
}

TEST(CoroTraceback, LeadsThroughFibersAndBorrowedStacks) {
  aiofiber::run_in_loop([] {
    const Names of_fiber = Names{at("failing_fiber", kFailingFiber)} + failure();
    EXPECT_EQ(traceback_of(failing_fiber), of_fiber);
    EXPECT_EQ(traceback_of(failing_borrower()), Names{at("failing_borrower", kFailingBorrower)} + of_fiber);
  });
}

TEST(CoroTraceback, LeadsThroughTheTasksThatPassedItOn) {
  aiofiber::run_in_loop([] {
    auto child = aio::create_task(failing_caller());
    EXPECT_EQ(traceback_of(grandparent(child)),
              (Names{at("grandparent", kGrandparent), at("parent", kParent)} + failure()));
  });
}

// The exception of the wait is raised before the coroutine goes on.
constexpr int kWaiter = __LINE__ + 3;
Coro<std::exception_ptr> waiter() {
  try {
    co_await aio::sleep(1h);
  } catch (const aio::CancelledError&) {
    co_return std::current_exception();
  }
  co_return nullptr;
}
constexpr int kWaitersCaller = __LINE__ + 2;
Coro<std::exception_ptr> waiters_caller() {
  const std::exception_ptr error = co_await waiter();
  co_return error;
}
TEST(CoroTraceback, OfACancellationEndsAtTheAwaitThatItInterrupts) {
  aiofiber::run_in_loop([] {
    auto task = aio::create_task(waiters_caller());
    settle();
    task.cancel();
    const std::string text = aio::detail::format_traceback(await(task), nullptr);
    const std::size_t caller =
        text.find("line " + std::to_string(kWaitersCaller) + ", in app::waiters_caller");
    const std::size_t waiter = text.find("line " + std::to_string(kWaiter) + ", in app::waiter\n");
    EXPECT_LT(caller, waiter) << text;
    EXPECT_NE(waiter, std::string::npos) << text;
  });
}

// 48 innermost calls, and 16 outermost ones.
constexpr int kRecursion = __LINE__ + 3;
Coro<> recursion(int depth) {
  if (depth == 0) co_return thrower();
  co_await recursion(depth - 1);
}
TEST(CoroTraceback, KeepsBothEndsOfADeepRecursion) {
  aiofiber::run_in_loop([] {
    const Names names = traceback_of([]() -> Coro<> { co_await recursion(1'000); });
    EXPECT_LE(names.size(), 64u);
    EXPECT_GT(names.size(), 56u) << "the others are aiofiber's";
    EXPECT_EQ(names.back(), at("thrower", kThrower));
    EXPECT_EQ(names[1], at("recursion", kRecursion));
    EXPECT_EQ(names.front(),
              at("CoroTraceback_KeepsBothEndsOfADeepRecursion_Test::TestBody::{lambda}", __LINE__ - 6));
  });
}

// ---- what is made of stacks

std::size_t find_in_order(const std::string& text, const Names& parts) {
  std::size_t from = 0;
  for (const std::string& part : parts) {
    from = text.find(part, from);
    if (from == std::string::npos) {
      ADD_FAILURE() << "no `" << part << "` (in this order) in:\n" << text;
      break;
    }
  }
  return from;
}

TEST(CoroStack, IsPrintedWithTheSourceOfEachAwait) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(Service().outer(future));
    settle();
    std::ostringstream out;
    task.print_stack(std::nullopt, &out);
    find_in_order(out.str(), {"Stack for <Task pending",
                              "in app::Service::outer\n    const int value = co_await middle(future);\n",
                              "in app::middle<int>\n    co_return co_await leaf(future);\n",
                              "in app::leaf\n    const int value = co_await future;\n"});
    future.set_result(1);
    await(task);
  });
}

TEST(CoroStack, IsInCallGraphs) {
  aiofiber::run_in_loop([] {
    auto child = aio::create_task([]() -> Coro<> { co_await aio::sleep(1h); });
    auto task = aio::create_task(grandparent(child));
    settle();
    find_in_order(aio::format_call_graph(child),
                  {"* Task(", "Awaited by:", "line " + std::to_string(kParent) + ", in app::parent()",
                   "line " + std::to_string(kGrandparent) + ", in app::grandparent()"});
    child.cancel();
    await(aio::wait({task}));
  });
}

std::string dump() {
  std::ostringstream out;
  aio::dump_tasks(out);
  return out.str();
}
Names lines_of(const Names& calls) {
  Names lines;
  for (const std::string& call : calls) {
    const std::size_t colon = call.rfind(':');
    lines.push_back("line " + call.substr(colon + 1) + ", in app::" + call.substr(0, colon));
  }
  return lines;
}

TEST(CoroStack, IsInDumpsOfThisThread) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto without = aio::create_task(Service().outer(future), {.name = "without"});
    auto with = aio::create_task({.name = "with"}, nested, future);
    settle();
    const std::string text = dump();
    find_in_order(text, Names{"Task 'without' (id ", ", waiting for future at "} + lines_of(chain()));
    find_in_order(text, Names{"Task 'with' (id "} + lines_of(Names{at("nested", kNested)} + borrowed()));
    future.set_result(1);
    await(aio::gather(with, without));
  });
}

}  // namespace app
