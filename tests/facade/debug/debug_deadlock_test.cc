// SPDX-License-Identifier: Apache-2.0
//
// Reports of loops that nothing can wake, and of tasks that nothing can wake. The loops are real and would
// sleep for ever. The log's sink runs on the loop's stack before the sleep and ends the wait. The test's
// process has no other thread, as the report requires.
// Labels: long
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

// Runs the body as a task of a loop until it ends or a report is made, then cancels what is left; gives the
// reports.
template <class F>
std::vector<std::string> run(F body, bool debug = false) {
  std::vector<std::string> reports;
  aio::EventLoop loop;
  loop.slow_callback_duration = 1h;  // a busy machine's slow steps are not what is asked for here
  loop.set_debug(debug);
  aio::set_log_sink([&](aio::LogLevel, std::string_view text) {
    reports.emplace_back(text);
    for (auto& task : aio::all_tasks(&loop)) task.cancel();
  });
  try {
    loop.run_until_complete(body);
  } catch (const aio::CancelledError&) {
  }
  aio::set_log_sink({});
  loop.close();
  return reports;
}

__attribute__((noinline)) void forget_to_set(aio::Event& event) {
  await(event.wait());
  asm volatile("");
}

TEST(Deadlock, IsReportedWithWhatEachTaskWaitsFor) {
  const auto reports = run([] {
    aio::Event event;
    auto task = aio::create_task({.name = "forgotten"}, [&] { forget_to_set(event); });
    await(task);
  });
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(reports[0].starts_with("Deadlock: nothing can wake the event loop")) << reports[0];
  EXPECT_NE(reports[0].find("\nTask 'forgotten' waits for event at 0x"), std::string::npos) << reports[0];
  EXPECT_NE(reports[0].find("in app::forget_to_set\n    await(event.wait());"), std::string::npos)
      << reports[0];
  EXPECT_NE(reports[0].find(" waits for task 'forgotten'\n"), std::string::npos) << reports[0];
  EXPECT_EQ(reports[0].find("each other"), std::string::npos) << reports[0];
}

TEST(Deadlock, NamesTheTasksThatWaitForEachOther) {
  const auto reports = run([] {
    aio::Task<> c;
    auto a = aio::create_task({.name = "a"}, [&c] { await(c); });
    auto b = aio::create_task({.name = "b"}, [a] { await(aio::gather(a)); });
    c = aio::create_task({.name = "c"}, [b] { await(b); });
    await(c);
  });
  ASSERT_EQ(reports.size(), 1u);
  const std::string& text = reports[0];
  EXPECT_TRUE(text.find("'a' -> 'c' -> 'b' -> 'a'\n") != std::string::npos ||
              text.find("'b' -> 'a' -> 'c' -> 'b'\n") != std::string::npos ||
              text.find("'c' -> 'b' -> 'a' -> 'c'\n") != std::string::npos)
      << text;
}

TEST(Deadlock, IsReportedThoughATraceIsWritten) {
  aio::start_trace("/dev/null");
  const auto reports = run(
      [] {
        aio::Event event;
        forget_to_set(event);
      },
      true);
  aio::stop_trace();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(reports[0].starts_with("Deadlock: nothing can wake the event loop")) << reports[0];
}

TEST(Deadlock, IsNotReportedWhileATimerADescriptorOrASignalCanWakeTheLoop) {
  EXPECT_TRUE(run([] { await(aio::sleep(1ms)); }).empty());
  EXPECT_TRUE(run([] {
                int ends[2];
                ASSERT_EQ(pipe(ends), 0);
                aio::Event readable;
                auto& loop = aio::get_running_loop();
                loop.add_reader(ends[0], [&] { readable.set(); });
                ASSERT_EQ(write(ends[1], "x", 1), 1);
                await(readable.wait());
                loop.remove_reader(ends[0]);
                close(ends[0]);
                close(ends[1]);
              }).empty());
  EXPECT_TRUE(run([] {
                aio::Event came;
                auto& loop = aio::get_running_loop();
                loop.add_signal_handler(SIGUSR1, [&] { came.set(); });
                ASSERT_EQ(raise(SIGUSR1), 0);
                await(came.wait());
                loop.remove_signal_handler(SIGUSR1);
              }).empty());
}

// Last, as a process that has had threads is never taken for one without again.
TEST(Deadlock, WithThreadsOnlyRingsAreCertain) {
  const auto forgotten = [] {
    aio::Event event;
    auto& loop = aio::get_running_loop();
    std::thread other([&] { loop.call_soon_threadsafe([&] { event.set(); }); });
    await(event.wait());
    other.join();
  };
  EXPECT_TRUE(run(forgotten, true).empty());
  EXPECT_TRUE(run(forgotten, false).empty());
}

// ---- a future that nobody can set any more

constexpr std::string_view kAbandoned = " waits for a future of which nobody else has a handle any more";

// Waits by a handle that goes with the wait, which tells the truth in production too.
__attribute__((noinline)) int wait_for_answer(aio::Future<int> answer) {
  const int result = await(std::move(answer));
  asm volatile("");
  return result;
}

TEST(Abandoned, IsReportedWhenTheLastOtherHandleGoes) {
  bool let_go = false;
  const auto reports = run([&] {
    auto answer = aio::get_running_loop().create_future<int>();
    aio::create_task({.name = "waiter"}, [answer = answer]() mutable {
      wait_for_answer(std::move(answer));
    }).detach();
    await(aio::sleep(0s));
    await(aio::sleep(0s));
    auto promise = std::move(answer);
    await(aio::sleep(1ms));  // while somebody has one, nothing is said
    let_go = true;
    promise = {};
    await(aio::sleep(1h));
  });
  EXPECT_TRUE(let_go);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(
      reports[0].starts_with("Task 'waiter'" + std::string(kAbandoned) + ": it can only be cancelled\n"))
      << reports[0];
  EXPECT_NE(reports[0].find("in app::wait_for_answer\n    const int result = await(std::move(answer));"),
            std::string::npos)
      << reports[0];
}

TEST(Abandoned, NamesEveryTaskThatWaits) {
  std::vector<std::string> reports;
  aio::EventLoop loop;
  aio::set_log_sink([&](aio::LogLevel, std::string_view text) { reports.emplace_back(text); });
  loop.run_until_complete([] {
    auto answer = aio::get_running_loop().create_future<int>();
    auto first = aio::create_task({.name = "first"}, wait_for_answer, answer);
    auto second = aio::create_task({.name = "second"}, wait_for_answer, answer);
    await(aio::sleep(0s));
    answer = {};
    first.cancel();
    second.cancel();
  });
  aio::set_log_sink({});
  loop.close();
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_TRUE(reports[0].starts_with("Task 'first'" + std::string(kAbandoned))) << reports[0];
  EXPECT_TRUE(reports[1].starts_with("Task 'second'" + std::string(kAbandoned))) << reports[1];
}

TEST(Abandoned, DebugModeSaysWhereTheFutureWasMade) {
  const auto reports = run(
      [] {
        auto answer = aio::get_running_loop().create_future<int>();
        aio::create_task({.name = "waiter"}, wait_for_answer, answer).detach();
        await(aio::sleep(0s));
        answer = {};
        await(aio::sleep(1h));
      },
      true);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].find(" any more (created at "), std::string::npos) << reports[0];
  EXPECT_NE(reports[0].find("debug_deadlock_test.cc:"), std::string::npos) << reports[0];
}

// Other code may refer to a named handle. Only debug mode counts the waiting task's handle as the task's own.
TEST(Abandoned, DebugModeKnowsTheTasksOwnHandles) {
  const auto in_closure = [] {
    auto answer = aio::get_running_loop().create_future<int>();
    auto waiter = aio::create_task({.name = "waiter"}, [answer] { await(answer); });
    await(aio::sleep(0s));
    answer = {};
    waiter.cancel();
  };
  EXPECT_EQ(run(in_closure, true).size(), 1u);
  EXPECT_EQ(run(in_closure, false).size(), 0u);
  const auto on_stack = [] {
    aio::Future<int> answer;
    auto waiter = aio::create_task({.name = "waiter"}, [&answer] {
      const auto own = answer = aio::get_running_loop().create_future<int>();
      await(own);
    });
    await(aio::sleep(0s));
    answer = {};
    waiter.cancel();
  };
  EXPECT_EQ(run(on_stack, true).size(), 1u);
  EXPECT_EQ(run(on_stack, false).size(), 0u);
}

TEST(Abandoned, IsNotSaidOfOneThatSomebodyHas) {
  for (const bool debug : {false, true}) {
    const auto reports = run(
        [] {
          auto answer = std::make_unique<aio::Future<int>>(
              aio::get_running_loop().create_future<int>());  // neither stack nor closure
          auto by_reference = aio::create_task({.name = "waiter"}, [&answer] { return await(*answer); });
          auto by_copy = aio::create_task(wait_for_answer, *answer);
          { const auto another = *answer; }
          await(aio::sleep(1ms));
          { const auto another = *answer; }
          answer->set_result(42);
          EXPECT_EQ(await(by_reference), 42);
          EXPECT_EQ(await(by_copy), 42);
        },
        debug);
    EXPECT_EQ(reports.size(), 0u) << reports[0];
  }
}

TEST(Abandoned, IsNotSaidOfOneThatIsDone) {
  for (const bool debug : {false, true}) {
    const auto reports = run(
        [] {
          auto answer = aio::get_running_loop().create_future<int>();
          auto waiter = aio::create_task(wait_for_answer, answer);
          await(aio::sleep(0s));
          answer.set_result(42);
          answer = {};
          EXPECT_EQ(await(waiter), 42);

          auto other = aio::get_running_loop().create_future<int>();
          auto cancelled = aio::create_task(wait_for_answer, other);
          await(aio::sleep(0s));
          cancelled.cancel();
          other = {};
          EXPECT_THROW(await(cancelled), aio::CancelledError);
        },
        debug);
    EXPECT_EQ(reports.size(), 0u) << reports[0];
  }
}

// The idiom for "until I am cancelled".
TEST(Abandoned, IsNotSaidOfOneThatNeverHadAnother) {
  for (const bool debug : {false, true}) {
    const auto reports = run(
        [] {
          auto waiter = aio::create_task([] { await(aio::get_running_loop().create_future<int>()); });
          await(aio::sleep(1ms));
          waiter.cancel();
        },
        debug);
    EXPECT_EQ(reports.size(), 0u) << reports[0];
  }
}

// The count of a wait goes with the wait.
TEST(Abandoned, AWaitThatWasGivenUpCountsNoMore) {
  const auto reports = run([] {
    auto answer = aio::get_running_loop().create_future<int>();
    EXPECT_THROW(await(aio::wait_for(aio::shield(answer), 1ms)), aio::TimeoutError);
    { const auto another = answer; }
    auto waiter = aio::create_task(wait_for_answer, answer);
    await(aio::sleep(0s));
    { const auto another = answer; }
    answer.set_result(1);
    EXPECT_EQ(await(waiter), 1);
  });
  EXPECT_EQ(reports.size(), 0u) << reports[0];
}

}  // namespace app
