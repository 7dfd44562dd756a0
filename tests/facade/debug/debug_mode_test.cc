// SPDX-License-Identifier: Apache-2.0
//
// Additions of debug mode to reports and reprs. The program under test is in its own namespace, because
// stacks leave out frames of aiofiber.
// Labels: threads debuginfo long
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/testing.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

// Collects what is logged while it lives; the watchdog logs from a thread of its own.
class Log {
 public:
  Log() {
    aio::set_log_sink([this](aio::LogLevel, std::string_view text) {
      const std::lock_guard lock(mutex_);
      texts_.emplace_back(text);
    });
  }
  ~Log() { aio::set_log_sink({}); }
  std::vector<std::string> texts() {
    const std::lock_guard lock(mutex_);
    return texts_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> texts_;
};

template <class F>
void run_in_debug_mode(F body, bool debug = true) {
  aio::testing::TestLoop loop;
  loop.set_debug(debug);
  loop.run_until_complete(std::move(body));
  loop.close();
}

bool ends_at_line(const std::string& text, int line) {
  return text.ends_with("debug_mode_test.cc:" + std::to_string(line) + ">");
}

TEST(DebugMode, ReprsSayWhereThingsWereMade) {
  run_in_debug_mode([] {
    auto& loop = aio::get_running_loop();
    auto future = loop.create_future();
    const int future_line = __LINE__ - 1;
    EXPECT_TRUE(ends_at_line(repr(future), future_line)) << repr(future);
    EXPECT_TRUE(repr(future).starts_with("<Future pending created at /")) << repr(future);
    auto handle = loop.call_soon([] {});
    const int handle_line = __LINE__ - 1;
    EXPECT_TRUE(ends_at_line(repr(handle), handle_line)) << repr(handle);
    auto task = aio::create_task([] {});
    const int task_line = __LINE__ - 1;
    EXPECT_TRUE(ends_at_line(repr(task), task_line)) << repr(task);
    await(task);
  });
}

TEST(DebugMode, OffRemembersNothing) {
  run_in_debug_mode(
      [] {
        auto future = aio::get_running_loop().create_future();
        EXPECT_EQ(repr(future), "<Future pending>");
      },
      false);
}

__attribute__((noinline)) void make_and_drop() {
  auto fetch = aio::coroutine([] {});
  static_cast<void>(fetch());
  asm volatile("");
}

TEST(DebugMode, NeverAwaitedReportsSayWhereTheCoroutineWasMade) {
  Log log;
  run_in_debug_mode([] { make_and_drop(); });
  ASSERT_EQ(log.texts().size(), 1u);
  const std::string text = log.texts()[0];
  EXPECT_NE(text.find("' was never awaited\nCoroutine created at (most recent call last)\n  File \""),
            std::string::npos)
      << text;
  EXPECT_TRUE(text.ends_with("in app::make_and_drop\n    static_cast<void>(fetch());")) << text;
  run_in_debug_mode([] { make_and_drop(); }, false);
  EXPECT_TRUE(log.texts()[1].ends_with("' was never awaited")) << log.texts()[1];
}

constexpr int kDrops = __LINE__ + 2, kDropsBelow = __LINE__ + 7;
aio::Coro<> drop_in_coroutine() {
  make_and_drop();
  co_await aio::sleep(0s);
}
aio::Coro<> drop_below() {
  co_await aio::sleep(0s);
  co_await drop_in_coroutine();
}

TEST(DebugMode, ReportsSayWhichCoroutinesAwaitedTheirOrigin) {
  Log log;
  run_in_debug_mode([] { await(aio::create_task(drop_below())); });
  ASSERT_EQ(log.texts().size(), 1u);
  const std::string text = log.texts()[0];
  const auto place = [](int line, const std::string& function) {
    return "line " + std::to_string(line) + ", in app::" + function + "\n";
  };
  const std::size_t outer = text.find(place(kDropsBelow, "drop_below"));
  const std::size_t inner = text.find(place(kDrops, "drop_in_coroutine"), outer);
  EXPECT_NE(inner, std::string::npos) << text;
  EXPECT_NE(text.find("in app::make_and_drop\n", inner), std::string::npos) << text;
}

constexpr int kHogs = __LINE__ + 3, kHogsBelow = __LINE__ + 8;
aio::Coro<> hog(Log& log) {
  co_await aio::sleep(0s);
  while (log.texts().empty()) asm volatile("");
  co_await aio::sleep(0s);
}
aio::Coro<> hog_below(Log& log) {
  co_await aio::sleep(0s);
  co_await hog(log);
}

// Real time, as the watchdog measures it.
TEST(DebugMode, TheWatchdogNamesTheCoroutinesOfATaskWithoutAStack) {
  Log log;
  aio::run([&] {
    aio::enable_watchdog(20ms);
    await(aio::create_task(hog_below(log), {.name = "hog"}));
  });
  const std::string text = log.texts()[0];
  EXPECT_NE(text.find(" by task 'hog'"), std::string::npos) << text;
  const std::size_t outer = text.find("line " + std::to_string(kHogsBelow) + ", in app::hog_below\n");
  const std::size_t inner = text.find("line " + std::to_string(kHogs) + ", in app::hog\n");
  EXPECT_LT(outer, inner) << text;
  EXPECT_NE(inner, std::string::npos) << text;
  EXPECT_EQ(text.find("run_in"), std::string::npos) << text;
}

__attribute__((noinline)) void start_failing() {
  aio::create_task([] { throw aio::ValueError("boom"); }).detach();
  asm volatile("");
}

TEST(DebugMode, ReportsSayWhereTheTaskWasMade) {
  Log log;
  run_in_debug_mode([] {
    start_failing();
    await(aio::sleep(1s));
  });
  ASSERT_EQ(log.texts().size(), 1u);
  const std::string text = log.texts()[0];
  const std::size_t at =
      text.find("\nsource_traceback: Object created at (most recent call last):\n  File \"");
  ASSERT_NE(at, std::string::npos) << text;
  EXPECT_NE(text.find("in app::start_failing\n    aio::create_task(", at), std::string::npos) << text;
}

TEST(DebugMode, HandlersGetTheSourceTraceback) {
  std::vector<aio::Frame> frames;
  std::vector<std::string> keys;
  run_in_debug_mode([&] {
    auto& loop = aio::get_running_loop();
    loop.set_exception_handler([&](aio::EventLoop&, const aio::ExceptionContext& context) {
      frames = context.source_traceback;
      keys = context.keys();
    });
    loop.call_soon([] { throw aio::ValueError("boom"); });
    await(aio::sleep(1s));
  });
  ASSERT_FALSE(frames.empty());
  EXPECT_LE(frames.size(), 16u);
  EXPECT_TRUE(frames.back().function.starts_with("app::")) << frames.back().function;
  EXPECT_EQ(keys, (std::vector<std::string>{"exception", "handle", "message", "source_traceback"}));
}

// A slow step is reported when it has ended, and the last step of a task ends with the task.
TEST(DebugMode, ASlowStepIsReportedAsTheTaskIsAfterIt) {
  Log log;
  run_in_debug_mode([] {
    const auto burn = [] { static_cast<aio::testing::TestLoop&>(aio::get_running_loop()).burn(300ms); };
    await(aio::create_task({.name = "waits"}, [&] {
      burn();
      await(aio::sleep(1s));
    }));
    await(aio::create_task({.name = "returns"}, [&] {
      burn();
      return 42;
    }));
    auto failing = aio::create_task({.name = "throws"}, [&] {
      burn();
      throw aio::ValueError("boom");
    });
    EXPECT_THROW(await(failing), aio::ValueError);
  });
  const auto texts = log.texts();
  const auto reports = [&](const char* begin, const char* part) {
    return std::count_if(texts.begin(), texts.end(), [&](const std::string& text) {
      return text.starts_with(std::string("Executing <Task ") + begin) &&
             text.find(part) != std::string::npos && text.ends_with(" took 0.300 seconds");
    });
  };
  EXPECT_EQ(reports("pending name='waits'", " running>"), 1);
  EXPECT_EQ(reports("finished name='returns'", " done> result=42"), 1);
  EXPECT_EQ(reports("finished name='throws'", " exception=ValueError('boom')"), 1);
  EXPECT_EQ(texts.size(), 3u);
}

// The same for coroutines. A call on a borrowed stack belongs to the step in which it runs.
TEST(DebugMode, ASlowStepOfACoroutineIsReported) {
  Log log;
  run_in_debug_mode([] {
    const auto burn = [] { static_cast<aio::testing::TestLoop&>(aio::get_running_loop()).burn(300ms); };
    await(aio::create_task({.name = "waits"}, [&]() -> aio::Coro<> {
      burn();
      co_await aio::sleep(1s);
    }));
    await(aio::create_task({.name = "returns"}, [&]() -> aio::Coro<int> {
      co_await aio::sleep(1s);
      burn();
      co_return 42;
    }));
    await(aio::create_task({.name = "on a stack"}, [&]() -> aio::Coro<> {
      co_await [&] {
        burn();
        await(aio::sleep(1s));
      };
    }));
  });
  const auto texts = log.texts();
  const auto reports = [&](const char* begin) {
    return std::count_if(texts.begin(), texts.end(), [&](const std::string& text) {
      return text.starts_with(std::string("Executing <Task ") + begin) &&
             text.ends_with(" took 0.300 seconds");
    });
  };
  EXPECT_EQ(reports("pending name='waits'"), 1);
  EXPECT_EQ(reports("finished name='returns'"), 1);
  EXPECT_EQ(reports("pending name='on a stack'"), 1);
  EXPECT_EQ(texts.size(), 3u);
}

// A wait of the hooks: the thread does other work meanwhile.
void wait_as_hooks_do(std::chrono::nanoseconds duration) {
  aio::runtime::Parker().park(AIOFIBER_WAIT_FD, 0,
                              aio::get_running_loop().time().time_since_epoch().count() + duration.count());
}

TEST(DebugMode, AWaitOfTheHooksEndsAStep) {
  Log log;
  run_in_debug_mode([] {
    const auto burn = [](auto duration) {
      static_cast<aio::testing::TestLoop&>(aio::get_running_loop()).burn(duration);
    };
    await(aio::create_task({.name = "quick steps"}, [&] {
      burn(60ms);
      wait_as_hooks_do(300ms);
      burn(60ms);
      wait_as_hooks_do(300ms);
      burn(60ms);
      await(aio::sleep(1s));
      wait_as_hooks_do(300ms);
    }));
    await(aio::create_task({.name = "slow before a wait"}, [&] {
      burn(300ms);
      wait_as_hooks_do(1s);
    }));
    await(aio::create_task({.name = "slow after a wait"}, [&] {
      wait_as_hooks_do(1s);
      burn(300ms);
    }));
  });
  const auto texts = log.texts();
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_TRUE(texts[0].starts_with("Executing <Task pending name='slow before a wait'")) << texts[0];
  EXPECT_TRUE(texts[1].starts_with("Executing <Task finished name='slow after a wait'")) << texts[1];
  for (const std::string& text : texts) EXPECT_TRUE(text.ends_with(" took 0.300 seconds")) << text;
}

// Real time: the clock of the CPU. The machine may be as busy as it likes.
TEST(DebugMode, OnlyTimeOnTheCpuMakesAStepSlow) {
  Log log;
  aio::EventLoop loop;
  loop.set_debug(true);
  loop.slow_callback_duration = 20ms;
  loop.run_until_complete([&] {
    await(aio::create_task({.name = "blocks"}, [] { std::this_thread::sleep_for(60ms); }));
    loop.call_soon([] { std::this_thread::sleep_for(60ms); });
    await(aio::create_task({.name = "computes"}, [] {
      const auto begun = std::clock();
      while (std::clock() - begun < CLOCKS_PER_SEC / 10) {
      }
    }));
  });
  loop.close();
  std::vector<std::string> slow;
  for (const std::string& text : log.texts())
    if (text.starts_with("Executing ")) slow.push_back(text);
  ASSERT_EQ(slow.size(), 1u);
  EXPECT_TRUE(slow[0].starts_with("Executing <Task finished name='computes'")) << slow[0];
}

// Real time: the watchdog looks at a thread that is really blocked.
TEST(DebugMode, TheWatchdogNamesWhoBlocksTheLoop) {
  Log log;
  aio::EventLoop loop;
  loop.set_debug(true);
  loop.slow_callback_duration = 20ms;
  loop.run_until_complete([&] {
    auto task = aio::create_task({.name = "hog"}, [&] {
      const auto limit = std::chrono::steady_clock::now() + 10s;
      while (log.texts().empty() && std::chrono::steady_clock::now() < limit) asm volatile("");
    });
    await(task);
  });
  loop.close();
  ASSERT_FALSE(log.texts().empty());
  EXPECT_NE(log.texts()[0].find("ms by task 'hog'"), std::string::npos) << log.texts()[0];
}

// The same for a coroutine: the remedy is in the report.
TEST(DebugMode, TheWatchdogSaysWhatACoroutineCanDo) {
  Log log;
  aio::EventLoop loop;
  loop.set_debug(true);
  loop.slow_callback_duration = 20ms;
  loop.run_until_complete([&]() -> aio::Coro<> {
    auto task = aio::create_task(aio::TaskOptions{.name = "hog"}, [&]() -> aio::Coro<> {
      const auto limit = std::chrono::steady_clock::now() + 10s;
      while (log.texts().empty() && std::chrono::steady_clock::now() < limit) asm volatile("");
      co_return;
    });
    co_await task;
  });
  loop.close();
  ASSERT_FALSE(log.texts().empty());
  EXPECT_NE(log.texts()[0].find("ms by task 'hog'"), std::string::npos) << log.texts()[0];
  EXPECT_NE(log.texts()[0].find("co_await [&] { return call(); }"), std::string::npos) << log.texts()[0];
}

TEST(Watchdog, RefusesALimitThatIsNotPositive) {
  aio::EventLoop loop;
  EXPECT_THROW(aio::enable_watchdog(0s, &loop), aio::ValueError);
  EXPECT_THROW(aio::enable_watchdog(), aio::RuntimeError);  // no loop runs here
  loop.close();
}

}  // namespace app
