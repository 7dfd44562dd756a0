// SPDX-License-Identifier: Apache-2.0
//
// AsyncGenerator: its values, its end, its errors, and closing it.
// Labels: clang long
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/exception_context.h"
#include "aiofiber/log.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;
using Log = std::vector<std::string>;

AsyncGenerator<int> count(int end) {
  for (int i = 0; i < end; ++i) {
    co_await sleep(1s);
    co_yield i;
  }
}

TEST(AsyncGenerator, GivesItsValuesToACoroutine) {
  TestLoop loop;
  loop.run_until_complete([&]() -> Coro<> {
    const auto start = loop.time();
    std::vector<int> values;
    auto generator = count(3);
    while (auto item = co_await generator.next()) values.push_back(*item);
    const std::vector<int> expected{0, 1, 2};
    EXPECT_EQ(values, expected);
    EXPECT_EQ(loop.time() - start, 3s);
    EXPECT_EQ(co_await generator.next(), std::nullopt) << "it stays finished";
  });
  loop.close();
}

TEST(AsyncGenerator, GivesItsValuesToAPlainLoopOfAFiber) {
  run_in_loop([] {
    std::vector<int> values;
    for (int& item : count(3)) values.push_back(item);
    EXPECT_EQ(values, (std::vector{0, 1, 2}));
    for (int item : count(0)) ADD_FAILURE() << item;
  });
}

TEST(AsyncGenerator, GivesMoveOnlyValues) {
  run_in_loop([] {
    auto make = []() -> AsyncGenerator<std::unique_ptr<int>> { co_yield std::make_unique<int>(7); };
    for (auto& item : make()) EXPECT_EQ(*item, 7);
  });
}

TEST(AsyncGenerator, RefusesAPlainLoopInATaskWithoutAStack) {
  run_in_loop([]() -> Coro<> {
    auto generator = count(1);
    EXPECT_THROW(generator.begin(), RuntimeError);
    co_return;
  });
}

TEST(AsyncGenerator, EndsWithTheErrorOfItsCode) {
  run_in_loop([]() -> Coro<> {
    auto make = []() -> AsyncGenerator<int> {
      co_yield 1;
      throw ValueError("boom");
    };
    auto generator = make();
    EXPECT_EQ(co_await generator.next(), 1);
    EXPECT_THROW(co_await generator.next(), ValueError);
    EXPECT_EQ(co_await generator.next(), std::nullopt);
  });
}

AsyncGenerator<int> with_clean_up(Log& log) {
  try {
    co_yield 1;
    co_yield 2;
  } catch (const GeneratorExit&) {
    log.push_back("exit");
  }
  co_await sleep(1s);
  log.push_back("cleaned up");
}

TEST(AsyncGenerator, CleansUpWhenItIsClosed) {
  run_in_loop([]() -> Coro<> {
    Log log;
    auto generator = with_clean_up(log);
    EXPECT_EQ(co_await generator.next(), 1);
    co_await generator.aclose();
    const Log expected{"exit", "cleaned up"};
    EXPECT_EQ(log, expected);
    EXPECT_EQ(co_await generator.next(), std::nullopt);
    co_await generator.aclose();
    auto never_begun = with_clean_up(log);
    co_await never_begun.aclose();
    EXPECT_EQ(co_await never_begun.next(), std::nullopt);
    EXPECT_EQ(log, expected);
  });
}

TEST(AsyncGenerator, ThatYieldsWhenItIsClosedIsAnError) {
  run_in_loop([]() -> Coro<> {
    auto make = []() -> AsyncGenerator<int> {
      for (;;) {
        try {
          co_yield 1;
        } catch (const GeneratorExit&) {
        }
      }
    };
    auto generator = make();
    co_await generator.next();
    std::string text;
    try {
      co_await generator.aclose();
    } catch (const RuntimeError& error) {
      text = error.what();
    }
    EXPECT_EQ(text, "async generator ignored GeneratorExit");
  });
}

TEST(AsyncGenerator, IsRunByOneTaskAtATime) {
  run_in_loop([]() -> Coro<> {
    auto generator = count(2);
    auto first = create_task(generator.next());
    co_await sleep(0s);
    EXPECT_THROW(co_await generator.next(), RuntimeError);
    EXPECT_THROW(co_await generator.aclose(), RuntimeError);
    EXPECT_EQ(co_await first, 0);
    EXPECT_EQ(co_await generator.next(), 1);
  });
}

TEST(AsyncGenerator, GetsTheCancellationOfItsTask) {
  run_in_loop([]() -> Coro<> {
    Log log;
    auto make = [&]() -> AsyncGenerator<int> {
      try {
        co_await sleep(1h);
      } catch (const CancelledError&) {
        log.push_back("cancelled");
        throw;
      }
      co_yield 1;
    };
    auto generator = make();
    auto task = create_task(generator.next());
    co_await sleep(0s);
    task.cancel();
    co_await ended(task);
    EXPECT_TRUE(task.cancelled());
    const Log expected{"cancelled"};
    EXPECT_EQ(log, expected);
    EXPECT_EQ(co_await generator.next(), std::nullopt);
  });
}

TEST(AsyncGenerator, HasALimitForEachValue) {
  run_in_loop([]() -> Coro<> {
    auto generator = count(2);
    EXPECT_EQ(co_await wait_for(generator.next(), 2s), 0);
    EXPECT_THROW(co_await wait_for(generator.next(), 500ms), TimeoutError);
  });
}

TEST(AsyncGenerator, IsClosedBeforeItsLoop) {
  Log log;
  std::optional<AsyncGenerator<int>> kept;
  run([&]() -> Coro<> {
    kept = with_clean_up(log);
    co_await kept->next();
  });
  EXPECT_EQ(log, (Log{"exit", "cleaned up"}));
}

TEST(AsyncGenerator, ReportsAnErrorOfItsClosing) {
  std::string text;
  auto make = []() -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const GeneratorExit&) {
      throw ValueError("bad end");
    }
  };
  std::optional<AsyncGenerator<int>> kept;
  run([&]() -> Coro<> {
    get_running_loop().set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { text = context.message; });
    kept = make();
    co_await kept->next();
  });
  EXPECT_NE(text.find("an error occurred during closing of asynchronous generator"), std::string::npos)
      << text;
}

TEST(AsyncGenerator, OutlivesItsLoop) {
  struct Mark {
    int& count;
    ~Mark() { ++count; }
  };
  int destroyed = 0;
  auto make = [&]() -> AsyncGenerator<int> {
    const Mark mark{destroyed};
    co_yield 1;
    co_await sleep(1h);
    co_yield 2;
  };
  for (const bool in_the_middle : {false, true}) {
    destroyed = 0;
    std::optional<AsyncGenerator<int>> kept(make());
    TestLoop loop;
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    loop.run_until_complete([&]() -> Coro<> { co_await kept->next(); });
    auto task = loop.create_task(kept->next());
    if (in_the_middle) loop.run_until_complete([]() -> Coro<> { co_await sleep(1s); });
    loop.close();
    EXPECT_EQ(destroyed, 0);
    kept.reset();
    EXPECT_EQ(destroyed, 1);
  }
}

}  // namespace
}  // namespace aiofiber
