// SPDX-License-Identifier: Apache-2.0
//
// exit() while other threads run loops: the process ends with the given code. Those loops run until the
// process is gone, so they must not touch what exit() destroys, and exit() must not touch what they use.
#include <gtest/gtest.h>

#include <cstdlib>
#include <latch>
#include <thread>

#include "aiofiber/asyncio.h"

// LeakSanitizer asks this at the end. It cannot know what a thread holds in the middle of a switch.
extern "C" int __lsan_is_turned_off() { return 1; }

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// Keeps a loop busy for ever with everything that a loop does itself: timers, stacks, errors, other threads.
void work(std::latch& begun) {
  for (int i = 0; i < 20; ++i) {
    create_task([] {
      for (;;) {
        await(create_task([] { await(sleep(0s)); }));
        await(sleep(100us));
      }
    }).detach();
  }
  create_task([] {
    for (;;) {
      try {
        await(timeout(1ms, [] { await(sleep(1h)); }));
      } catch (const TimeoutError&) {
      }
    }
  }).detach();
  create_task([] {
    for (;;) await(to_thread([] { return 1; }));
  }).detach();
  await(sleep(2ms));
  begun.count_down();
  await(sleep(1h));
}

// The other thread's loop goes on while this one ends the process.
TEST(ExitDeathTest, EndsTheProcessWithItsCodeWhileAnotherThreadRunsALoop) {
  const auto with_code = ::testing::ExitedWithCode(3);
  EXPECT_EXIT(
      {
        static EventLoop loop;
        static std::latch begun(1);
        std::thread([] { loop.run_until_complete([] { work(begun); }); }).detach();
        begun.wait();
        std::exit(3);
      },
      with_code, "");
  EXPECT_EXIT(
      {
        static std::latch begun(3);
        for (int i = 0; i < 2; ++i) std::thread([] { run([] { work(begun); }); }).detach();
        run([] {
          create_task([] { work(begun); }).detach();
          while (!begun.try_wait()) await(sleep(1ms));
          std::exit(3);
        });
      },
      with_code, "");
}

TEST(ExitDeathTest, EndsTheProcessWithItsCodeInAPlainThreadWhileALoopRuns) {
  const auto with_code = ::testing::ExitedWithCode(3);
  const auto exit_when_begun = [](std::latch& begun) {
    std::thread([&] {
      begun.wait();
      std::exit(3);
    }).detach();
  };
  EXPECT_EXIT(
      {
        static std::latch begun(1);
        exit_when_begun(begun);
        run([] { work(begun); });
      },
      with_code, "");
  EXPECT_EXIT(
      {
        static EventLoop loop;
        static std::latch begun(1);
        exit_when_begun(begun);
        loop.run_until_complete([] { work(begun); });
      },
      with_code, "");
}

}  // namespace
}  // namespace aiofiber
