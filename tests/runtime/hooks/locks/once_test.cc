// SPDX-License-Identifier: Apache-2.0
//
// Initialisation that suspends (call_once, function-local statics), and joins of threads.

#include <chrono>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using namespace std::chrono_literals;

// ---- once

TEST(HookedOnce, ParksWhoComesWhileItRuns) {
  Fibers fibers;
  std::once_flag first, second;
  int calls = 0, passed = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      std::call_once(first, [&] {
        ++calls;
        std::call_once(second, [&] { sleep_ms(2); });
        sleep_ms(3);
      });
      EXPECT_EQ(calls, 1);
      ++passed;
    });
    fibers.spawn([&] { std::call_once(second, [&] { ADD_FAILURE() << "called a second time"; }); });
  }
  fibers.run();
  EXPECT_EQ(passed, 5);
}

TEST(HookedOnce, IsTriedAgainByWhoWaitedWhenItThrows) {
  Fibers fibers;
  std::once_flag flag;
  std::string log;
  fibers.spawn([&] {
    EXPECT_THROW(std::call_once(flag,
                                [&] {
                                  log += "a";
                                  sleep_ms(3);
                                  throw std::runtime_error("not yet");
                                }),
                 std::runtime_error);
  });
  fibers.spawn([&] { std::call_once(flag, [&] { log += "b"; }); });
  fibers.run();
  EXPECT_EQ(log, "ab");
}

int slow_value(int& calls) {
  ++calls;
  sleep_ms(3);
  return 42;
}

TEST(HookedStaticLocal, IsInitialisedOnceThoughItSuspends) {
  Fibers fibers;
  int calls = 0, sum = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      static const int value = slow_value(calls);
      sum += value;
    });
  }
  fibers.run();
  static bool first_time = true;  // under --gtest_repeat it is initialised already
  EXPECT_EQ(calls, std::exchange(first_time, false) ? 1 : 0);
  EXPECT_EQ(sum, 210);
}

// ---- threads

TEST(HookedJoin, OfAThreadSuspendsTheTaskOnly) {
  Fibers fibers;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    std::thread thread([] { std::this_thread::sleep_for(20ms); });
    thread.join();
    ticker.stop();
  });
  fibers.run();
  EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
}

}  // namespace
}  // namespace aiofiber::hooks_test
