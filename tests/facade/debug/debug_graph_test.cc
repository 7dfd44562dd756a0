// SPDX-License-Identifier: Apache-2.0
//
// Call graphs, and the registry's data about waiting tasks. The program under test is in its own namespace,
// because stacks leave out frames of aiofiber.
// Labels: debuginfo long
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

__attribute__((noinline)) void rest() {
  await(aio::sleep(1h));
  asm volatile("");
}
__attribute__((noinline)) void work() {
  rest();
  asm volatile("");
}

const aiofiber_record& record_of(const aio::AnyFuture& task) { return *task.state().task()->fiber(); }

std::vector<aio::FutureCallGraph> awaiters(const aio::AnyFuture& future) {
  return aio::capture_call_graph(future).value().awaited_by;
}
std::string name_of(const aio::AnyFuture& future) { return future.state().task()->name(); }

// Cancels what a test has left running, so that the loop closes in silence.
void end_all() {
  for (auto& task : aio::all_tasks()) {
    if (task != aio::current_task()) task.cancel();
  }
  await(aio::sleep(1ms));
}

// Runs a task of this name that awaits `awaitable` for as long as the test.
template <class F>
aio::Task<> waiting(const char* name, F body) {
  auto task = aio::create_task({.name = name}, std::move(body));
  await(aio::sleep(1ms));
  return task;
}

TEST(CallGraph, HasTheStackOfATaskAndThoseWhoAwaitIt) {
  aiofiber::run_in_loop([] {
    auto child = aio::create_task({.name = "child"}, work);
    auto parent = waiting("parent", [child] { await(child); });
    const auto graph = aio::capture_call_graph(child);
    ASSERT_TRUE(graph);
    EXPECT_EQ(graph->future, child);
    ASSERT_EQ(graph->call_stack.size(), 2u);
    EXPECT_EQ(graph->call_stack[0].frame.function, "app::rest");
    EXPECT_EQ(graph->call_stack[1].frame.function, "app::work");
    ASSERT_EQ(graph->awaited_by.size(), 1u);
    EXPECT_EQ(graph->awaited_by[0].future, parent);
    EXPECT_FALSE(graph->awaited_by[0].call_stack.empty());
    end_all();
  });
}

TEST(CallGraph, GoesThroughGather) {
  aiofiber::run_in_loop([] {
    auto a = aio::create_task(work), b = aio::create_task(work);
    auto parent = waiting("parent", [a, b] { await(aio::gather(a, b)); });
    for (const auto& input : {a, b}) {
      const auto above = awaiters(input);
      ASSERT_EQ(above.size(), 1u);
      EXPECT_EQ(above[0].future.state().task(), nullptr);
      ASSERT_EQ(above[0].awaited_by.size(), 1u);
      EXPECT_EQ(above[0].awaited_by[0].future, parent);
      EXPECT_EQ(record_of(input).watched_by, record_of(parent).wait_arg);
    }
    EXPECT_EQ(record_of(parent).wait_kind, std::uint32_t{AIOFIBER_WAIT_GATHER});
    end_all();
  });
}

TEST(CallGraph, GoesThroughShield) {
  aiofiber::run_in_loop([] {
    auto inner = aio::create_task(work);
    auto parent = waiting("parent", [inner] { await(aio::shield(inner)); });
    const auto above = awaiters(inner);
    ASSERT_EQ(above.size(), 1u);
    ASSERT_EQ(above[0].awaited_by.size(), 1u);
    EXPECT_EQ(above[0].awaited_by[0].future, parent);
    EXPECT_EQ(record_of(parent).wait_kind, std::uint32_t{AIOFIBER_WAIT_SHIELD});
    EXPECT_EQ(record_of(inner).watched_by, record_of(parent).wait_arg);
    parent.cancel();
    await(aio::sleep(0s));
    await(aio::sleep(0s));
    EXPECT_TRUE(awaiters(inner).empty());
    EXPECT_EQ(record_of(inner).watched_by, 0u);
    end_all();
  });
}

TEST(CallGraph, GoesThroughWaitForAndWaitAndAsCompleted) {
  aiofiber::run_in_loop([] {
    auto task = aio::create_task(work);
    auto by_wait_for = waiting("wait_for", [task] { await(aio::wait_for(task, 1h)); });
    auto by_wait = waiting("wait", [task] { await(aio::wait({task})); });
    EXPECT_EQ(record_of(by_wait_for).wait_kind, std::uint32_t{AIOFIBER_WAIT_TASK});
    EXPECT_EQ(record_of(by_wait_for).wait_arg, record_of(task).id);
    EXPECT_EQ(record_of(by_wait).wait_kind, std::uint32_t{AIOFIBER_WAIT_SEVERAL});
    EXPECT_EQ(record_of(by_wait).wait_arg, record_of(task).watched_by);
    auto by_next = waiting("as_completed", [task] {
      for (auto next : aio::as_completed({task})) await(std::move(next));
    });
    EXPECT_EQ(record_of(by_next).wait_kind, std::uint32_t{AIOFIBER_WAIT_AS_COMPLETED});
    std::vector<std::string> names;
    for (const auto& above : awaiters(task)) names.push_back(name_of(above.future));
    EXPECT_EQ(names, (std::vector<std::string>{"wait_for", "wait", "as_completed"}));
    end_all();
  });
}

TEST(CallGraph, GoesThroughATaskGroup) {
  aiofiber::run_in_loop([] {
    std::optional<aio::Task<>> child;
    auto parent = waiting("parent", [&child] {
      await(aio::task_group([&child](aio::TaskGroup& group) { child = group.create_task(work); }));
    });
    const auto above = awaiters(*child);
    ASSERT_EQ(above.size(), 1u);
    EXPECT_EQ(above[0].future, parent);
    EXPECT_EQ(record_of(parent).wait_kind, std::uint32_t{AIOFIBER_WAIT_TASK_GROUP});
    EXPECT_EQ(record_of(parent).wait_arg, record_of(*child).watched_by);
    end_all();
  });
}

TEST(CallGraph, EndsWhereTasksWaitForEachOther) {
  aiofiber::run_in_loop([] {
    aio::Task<> second;
    auto first = aio::create_task({.name = "first"}, [&second] { await(second); });
    second = aio::create_task({.name = "second"}, [first] { await(first); });
    await(aio::sleep(1ms));
    const auto graph = aio::capture_call_graph(first).value();
    ASSERT_EQ(graph.awaited_by.size(), 1u);
    ASSERT_EQ(graph.awaited_by[0].awaited_by.size(), 1u);
    EXPECT_TRUE(graph.awaited_by[0].awaited_by[0].cycle);
    EXPECT_EQ(graph.awaited_by[0].awaited_by[0].future, first);
    end_all();
  });
}

TEST(CallGraph, HasTheTextOfCPython) {
  aiofiber::run_in_loop([] {
    auto child = aio::create_task({.name = "child"}, work);
    auto parent = waiting("parent", [child] { await(aio::gather(child)); });
    std::ostringstream out;
    aio::print_call_graph(child, &out);
    std::string text = out.str();
    for (std::size_t at; (at = text.find("/")) != std::string::npos;) {
      const std::size_t from = text.rfind('\'', at) + 1;
      text.replace(from, text.find('\'', from) - from, "FILE");
    }
    for (std::size_t at; (at = text.find("id=0x")) != std::string::npos;) {
      text.replace(at, text.find(')', at) - at, "ID");
    }
    for (std::size_t at; (at = text.find(", line ")) != std::string::npos;) {
      text.replace(at, text.find(", in ", at) - at, "");
    }
    const std::string frame = "|   File 'FILE', in app::";
    const std::size_t lambda = text.find(frame + "CallGraph");
    ASSERT_NE(lambda, std::string::npos) << text;
    text.erase(lambda - 11);
    EXPECT_EQ(text,
              "* Task(name='child', ID)\n"
              "  + Call stack:\n"
              "  " +
                  frame +
                  "rest()\n"
                  "  " +
                  frame +
                  "work()\n"
                  "  + Awaited by:\n"
                  "    * Future(ID)\n"
                  "      + Awaited by:\n"
                  "        * Task(name='parent', ID)\n"
                  "          + Call stack:");
    end_all();
  });
}

TEST(CallGraph, KeepsTheNewestOrTheOldestFrames) {
  aiofiber::run_in_loop([] {
    auto task = waiting("task", work);
    EXPECT_EQ(aio::capture_call_graph(task, 1, 1)->call_stack.at(0).frame.function, "app::rest");
    EXPECT_EQ(aio::capture_call_graph(task, 1, -1)->call_stack.at(0).frame.function, "app::work");
    EXPECT_EQ(aio::capture_call_graph(task, 1, -1)->call_stack.size(), 1u);
    EXPECT_TRUE(aio::capture_call_graph(task, 1, 0)->call_stack.empty());
    end_all();
  });
}

__attribute__((noinline)) aio::FutureCallGraph capture_here(std::size_t depth) {
  auto graph = aio::capture_call_graph({}, depth);
  asm volatile("");
  return graph.value();
}

TEST(CallGraph, OfTheCurrentTaskBeginsAtTheCaller) {
  aiofiber::run_in_loop([] {
    EXPECT_EQ(capture_here(1).call_stack.at(0).frame.function, "app::capture_here");
    EXPECT_NE(capture_here(2).call_stack.at(0).frame.function, "app::capture_here");
    EXPECT_EQ(capture_here(1).future, *aio::current_task());
  });
}

TEST(CallGraph, NeedsATaskOrAFuture) {
  EXPECT_THROW(aio::capture_call_graph(), aio::RuntimeError);
  aiofiber::testing::TestLoop loop;
  std::optional<std::string> text;
  loop.call_soon([&] {
    text = aio::format_call_graph();
    loop.stop();
  });
  loop.run_forever();
  EXPECT_EQ(text, "");
  loop.close();
}

TEST(Registry, NamesTheObjectsThatTasksWaitFor) {
  aiofiber::run_in_loop([] {
    aio::Lock lock;
    aio::Event event;
    aio::Semaphore semaphore(0);
    aio::Queue<int> queue(1);
    queue.put_nowait(1);
    aio::Queue<int> empty;
    await(lock.acquire());
    std::vector<aio::Task<>> tasks;
    const auto kind_of = [&](auto body) {
      tasks.push_back(waiting("waiter", body));
      EXPECT_NE(record_of(tasks.back()).wait_arg, 0u);
      return static_cast<aiofiber_wait>(record_of(tasks.back()).wait_kind);
    };
    EXPECT_EQ(kind_of([&] { await(lock.acquire()); }), AIOFIBER_WAIT_LOCK);
    EXPECT_EQ(kind_of([&] { await(lock.acquire()); }), AIOFIBER_WAIT_LOCK);
    EXPECT_EQ(record_of(tasks[0]).wait_arg, record_of(tasks[1]).wait_arg);
    EXPECT_EQ(kind_of([&] { await(event.wait()); }), AIOFIBER_WAIT_EVENT);
    EXPECT_EQ(kind_of([&] { await(semaphore.acquire()); }), AIOFIBER_WAIT_SEMAPHORE);
    EXPECT_EQ(kind_of([&] { await(queue.put(2)); }), AIOFIBER_WAIT_QUEUE_PUT);
    EXPECT_EQ(kind_of([&] { await(empty.get()); }), AIOFIBER_WAIT_QUEUE_GET);
    auto future = aio::get_running_loop().create_future();
    EXPECT_EQ(kind_of([&] { await(future); }), AIOFIBER_WAIT_FUTURE);
    EXPECT_EQ(record_of(tasks.back()).wait_arg, reinterpret_cast<std::uint64_t>(&future.state()));
    EXPECT_EQ(kind_of([&] { await(aio::sleep(1h)); }), AIOFIBER_WAIT_SLEEP);
    end_all();
  });
}

}  // namespace app
