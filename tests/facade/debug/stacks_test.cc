// SPDX-License-Identifier: Apache-2.0
//
// Stacks as a program sees them: the settings of the process, and the reports of debug mode about tasks that
// used nearly all of their stack.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

constexpr std::size_t kKiB = 1024;

// Puts both settings back.
class Settings {
 public:
  ~Settings() {
    aio::set_stack_guard_size(guard_);
    aio::set_stack_idle_time(idle_);
  }

 private:
  std::size_t guard_ = aio::stack_guard_size();
  aio::Duration idle_ = aio::stack_idle_time();
};

TEST(StackSettings, HaveTheDocumentedDefaults) {
  EXPECT_EQ(aio::stack_guard_size(), 64 * kKiB);
  EXPECT_EQ(aio::stack_idle_time(), aio::Duration(10s));
}

TEST(StackSettings, OfGuardsHoldForLoopsMadeAfterwards) {
  const Settings restore;
  aio::testing::TestLoop before;
  aio::set_stack_guard_size(1024 * kKiB);
  aio::testing::TestLoop after;
  EXPECT_EQ(before.core().scheduler().stacks().guard_bytes(), 64 * kKiB);
  EXPECT_EQ(after.core().scheduler().stacks().guard_bytes(), 1024 * kKiB);
  before.close();
  after.close();
}

TEST(StackSettings, RefuseGuardsOutOfRange) {
  const Settings restore;
  for (const std::size_t wrong : {std::size_t{0}, 64 * kKiB - 1, (std::size_t{1} << 30) + 1, SIZE_MAX}) {
    EXPECT_THROW(aio::set_stack_guard_size(wrong), aio::ValueError);
  }
  EXPECT_EQ(aio::stack_guard_size(), 64 * kKiB);
}

TEST(StackSettings, TakeAnyIdleTime) {
  const Settings restore;
  for (const aio::Duration time :
       {aio::Duration(), aio::Duration(1ns), aio::Duration(1h), aio::Duration::max()}) {
    aio::set_stack_idle_time(time);
    EXPECT_EQ(aio::stack_idle_time(), time);
  }
  aio::set_stack_idle_time(-5s);
  EXPECT_EQ(aio::stack_idle_time(), aio::Duration());
}

TEST(StackSettings, OfIdleTimeDecideWhenTheMemoryOfAWaveGoesBack) {
  const Settings restore;
  for (const std::chrono::nanoseconds time : {1s, 60s}) {
    aio::set_stack_idle_time(time);
    aio::testing::TestLoop loop;
    loop.run_until_complete([&] {
      std::vector<aio::Task<void>> wave;
      for (int i = 0; i < 50; ++i) wave.push_back(aio::create_task([] { await(aio::sleep(0s)); }));
      await(aio::gather(wave));
      const aio::runtime::StackPool& stacks = loop.core().scheduler().stacks();
      await(aio::sleep(time - 1ns));
      EXPECT_GE(stacks.stacks_warm(), 49u);
      await(aio::sleep(1ns));
      await(aio::sleep(0s));
      EXPECT_EQ(stacks.stacks_warm(), 0u);
    });
    loop.close();
  }
}

// ---- debug mode -------------------------------------------------------------------------------------------

// Collects what is logged while it lives.
class Log {
 public:
  Log() {
    aio::set_log_sink([this](aio::LogLevel, std::string_view text) { texts.emplace_back(text); });
  }
  ~Log() { aio::set_log_sink({}); }
  std::vector<std::string> texts;
};

// Uses so much of the stack that is left below it. AddressSanitizer would put the frames on the heap.
__attribute__((noinline, no_sanitize_address)) char use_stack(std::size_t bytes) {
  volatile char frame[1024];
  frame[0] = 'x';
  frame[1023] = 'y';
  return bytes > sizeof frame + 128 ? use_stack(bytes - sizeof frame - 128) + frame[0] : frame[1023];
}

template <class F>
void run_in_debug_mode(F body, bool debug = true) {
  aio::testing::TestLoop loop;
  loop.set_debug(debug);
  loop.run_until_complete(std::move(body));
  loop.close();
}

TEST(DebugModeStacks, ATaskThatCameWithinAQuarterOfItsEndIsReportedOnce) {
  Log log;
  run_in_debug_mode([] {
    auto deep = aio::create_task({.name = "deep", .stack_size = 256 * kKiB}, [] {
      for (int i = 0; i < 40; ++i) {
        use_stack(220 * kKiB);
        await(aio::sleep(0s));
      }
    });
    await(deep);
  });
  ASSERT_EQ(log.texts.size(), 1u);
  EXPECT_NE(log.texts[0].find("name='deep'"), std::string::npos) << log.texts[0];
  EXPECT_NE(log.texts[0].find("came within 25 % of the end of its stack of 256 KiB: give it a larger one, "
                              "create_task({.stack_size = 512 * 1024}, ...)"),
            std::string::npos)
      << log.texts[0];
}

TEST(DebugModeStacks, ATaskThatNeverSuspendsIsReportedAtItsEnd) {
  Log log;
  run_in_debug_mode([] { await(aio::create_task([] { use_stack(220 * kKiB); })); });
  EXPECT_EQ(log.texts.size(), 1u);
}

TEST(DebugModeStacks, ATaskThatLivesOnIsReportedWhileItLives) {
  Log log;
  run_in_debug_mode([&] {
    auto server = aio::create_task([] {
      use_stack(220 * kKiB);
      for (;;) await(aio::sleep(1s));
    });
    await(aio::sleep(60s));
    EXPECT_EQ(log.texts.size(), 1u);
    server.cancel();
    await(aio::wait(std::vector{server}));
  });
  EXPECT_EQ(log.texts.size(), 1u);
}

// The stack goes from task to task, in the end without leaving the CPU.
TEST(DebugModeStacks, ASuccessorOnTheSameStackIsNotTakenForIt) {
  Log log;
  run_in_debug_mode([&] {
    await(aio::create_task({.name = "deep"}, [] { use_stack(220 * kKiB); }));
    for (int i = 0; i < 20; ++i) await(aio::create_task([] { use_stack(100 * kKiB); }));
    std::vector<aio::Task<void>> many;
    for (int i = 0; i < 20; ++i)
      many.push_back(aio::create_task([i] { use_stack((i == 0 ? 220 : 100) * kKiB); }));
    await(aio::gather(many));
  });
  EXPECT_EQ(log.texts.size(), 2u);
}

TEST(DebugModeStacks, NothingIsSaidOfShallowTasksNorOutsideDebugMode) {
  Log log;
  run_in_debug_mode([] { await(aio::create_task([] { use_stack(100 * kKiB); })); });
  run_in_debug_mode([] { await(aio::create_task([] { use_stack(220 * kKiB); })); }, false);
  EXPECT_TRUE(log.texts.empty());
}

// What was used before the switch was turned on may be another task's.
TEST(DebugModeStacks, TurnedOnInMidLifeSaysNothingOfTasksThatStartedBefore) {
  Log log;
  run_in_debug_mode(
      [] {
        auto task = aio::create_task([] {
          use_stack(220 * kKiB);
          for (int i = 0; i < 40; ++i) await(aio::sleep(0s));
        });
        await(aio::sleep(0s));
        aio::get_running_loop().set_debug(true);
        await(task);
      },
      false);
  EXPECT_TRUE(log.texts.empty());
}

}  // namespace app
