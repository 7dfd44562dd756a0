// SPDX-License-Identifier: Apache-2.0
//
// LeakSanitizer's reports for a program that abandons tasks or ends while tasks are suspended: nothing that
// those tasks hold is reported, and every real leak is. Without AddressSanitizer only the exit codes are
// checked.
#include <gtest/gtest.h>

#include <cstdlib>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/config.h"

#if AIOFIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

bool something_is_lost() {
#if AIOFIBER_ASAN
  return __lsan_do_recoverable_leak_check() != 0;
#else
  return false;
#endif
}

#if AIOFIBER_ASAN
// More than one, because a pointer to one may be left in memory.
[[gnu::noinline]] void lose_some() {
  for (int i = 0; i < 100; ++i) {
    [[maybe_unused]] int* volatile lost = new int(i);
    lost = nullptr;
  }
}
#endif

// Waits with objects on its stack, in its context and in an exception that it handles.
void hold_and_wait() {
  static ContextVar<std::shared_ptr<int>> variable("variable");
  variable.set(std::make_shared<int>(1));
  const std::vector<std::unique_ptr<int>> held = [] {
    std::vector<std::unique_ptr<int>> made;
    made.push_back(std::make_unique<int>(2));
    return made;
  }();
  try {
    throw std::runtime_error(std::string(100, 'x'));
  } catch (const std::runtime_error&) {
    await(sleep(1h));
  }
}

TEST(Leaks, AreNotWhatAbandonedTasksHold) {
  std::string logged;
  set_log_sink([&](LogLevel, std::string_view text) { logged += text; });
  {
    EventLoop loop;
    loop.create_task([]() noexcept { hold_and_wait(); }).detach();
    loop.create_task([] {
          for (;;) {
            try {
              hold_and_wait();
            } catch (...) {
            }
          }
        })
        .detach();
    loop.run_until_complete([] { await(sleep(0s)); });
    loop.close();
  }
  set_log_sink(nullptr);
  EXPECT_NE(logged.find("was abandoned"), std::string::npos);
  EXPECT_FALSE(something_is_lost());
}

TEST(LeaksDeathTest, AreNotWhatTasksHoldWhenOneOfThemExits) {
  EXPECT_EXIT(run([] {
                const auto mine = std::make_unique<int>(3);
                for (int i = 0; i < 1000; ++i) create_task(hold_and_wait).detach();
                await(sleep(0s));
                create_task(hold_and_wait).detach();  // does not run any more
                std::exit(3);
              }),
              ::testing::ExitedWithCode(3), "^$");
}

TEST(LeaksDeathTest, AreNotWhatTasksHoldWhenACallbackExits) {
  EXPECT_EXIT(run([] {
                create_task(hold_and_wait).detach();
                get_running_loop().call_later(1ms, [] { std::exit(3); });
                await(sleep(1h));
              }),
              ::testing::ExitedWithCode(3), "^$");
}

TEST(LeaksDeathTest, AreNotWhatTasksOfAnotherThreadHold) {
#if AIOFIBER_ASAN
  if (__asan_get_current_fake_stack() != nullptr) {
    GTEST_SKIP() << "other threads' fake frames are not looked at (detect_stack_use_after_return)";
  }
#endif
  EXPECT_EXIT(
      {
        std::latch waits(1);
        std::thread([&] {
          run([&] {
            for (int i = 0; i < 10; ++i) create_task(hold_and_wait).detach();
            await(sleep(0s));
            get_running_loop().call_soon([&] { waits.count_down(); });
            hold_and_wait();
          });
        }).detach();
        waits.wait();
        std::exit(3);
      },
      ::testing::ExitedWithCode(3), "^$");
}

#if AIOFIBER_ASAN
TEST(LeaksDeathTest, AreSeenInATaskThatExits) {
  EXPECT_EXIT(run([] {
                lose_some();
                std::exit(3);
              }),
              ::testing::ExitedWithCode(1), "LeakSanitizer");
}

TEST(LeaksDeathTest, AreSeenBesideAnAbandonedTask) {
  EXPECT_EXIT(
      {
        {
          EventLoop loop;
          loop.create_task([]() noexcept {
                lose_some();
                hold_and_wait();
              })
              .detach();
          loop.run_until_complete([] { await(sleep(0s)); });
          loop.close();
        }
        std::exit(3);
      },
      ::testing::ExitedWithCode(1), "LeakSanitizer");
}
#endif

}  // namespace
}  // namespace aiofiber
