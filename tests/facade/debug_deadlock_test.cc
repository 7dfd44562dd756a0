// SPDX-License-Identifier: Apache-2.0
//
// Reports of loops that nothing can wake. The loops are real ones, which would sleep for ever: the log's sink, which runs
// on the loop's stack before it sleeps, ends the wait. The test's process has no other thread, as the report asks for that.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

// Runs the body as a task of a loop until it ends or a report is made, then cancels what is left; gives the reports.
template <class F>
std::vector<std::string> run(F body, bool debug = false) {
  std::vector<std::string> reports;
  aio::EventLoop loop;
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
  EXPECT_NE(reports[0].find("in app::forget_to_set\n    await(event.wait());"), std::string::npos) << reports[0];
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
  EXPECT_TRUE(text.find("'a' -> 'c' -> 'b' -> 'a'\n") != std::string::npos || text.find("'b' -> 'a' -> 'c' -> 'b'\n") != std::string::npos ||
              text.find("'c' -> 'b' -> 'a' -> 'c'\n") != std::string::npos)
      << text;
}

TEST(Deadlock, IsReportedThoughATraceIsWritten) {
  aio::start_trace(::testing::TempDir() + "deadlock_trace.json");
  const auto reports = run([] {
    aio::Event event;
    forget_to_set(event);
  }, true);
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

}  // namespace app
