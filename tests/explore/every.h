// SPDX-License-Identifier: Apache-2.0
//
// What is done to every scenario of a test program: asyncio's order, random orders, all orders of small ones,
// a cancellation of each task before each step, a time limit of every length, and the same seed twice.
//
// The usual run is short. AIOFIBER_EXPLORE_TIMES=N in the environment makes N times as many schedules of it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "aiofiber/explore.h"
#include "explore/scenario.h"
#include "support/keep_books.h"

namespace aiofiber::explored {

class Explored : public ::testing::TestWithParam<Scenario> {
 protected:
  static void TearDownTestSuite() {
    std::cout << "explored: " << schedules << " schedules, " << steps << " steps, " << complete
              << " scenarios in all their orders\n";
  }
  void TearDown() override {
    time_limit.reset();
    cancels = slow = false;
  }
  static std::size_t times() {
    static const char* const value = std::getenv("AIOFIBER_EXPLORE_TIMES");
    return value != nullptr ? std::strtoul(value, nullptr, 10) : 1;
  }
  static testing::Exploration explore(const testing::ExploreOptions& options,
                                      const std::function<void()>& scenario = GetParam().run) {
    cancels = options.cancel != testing::Cancellation::NONE;
    slow = options.slow_steps;
    testing::Exploration done = testing::explore(scenario, options);
    schedules += done.schedules;
    steps += done.steps;
    complete += done.complete ? 1 : 0;
    return done;
  }

  static inline std::size_t schedules = 0;
  static inline std::uint64_t steps = 0;
  static inline int complete = 0;
};

inline std::string name_of_scenario(const ::testing::TestParamInfo<Scenario>& info) {
  return info.param.name;
}

TEST_P(Explored, HoldsInRandomOrders) {
  explore({.strategy = testing::FIFO});
  explore({.schedules = 60 * times(), .strategy = testing::RANDOM});
  explore({.schedules = 60 * times(), .strategy = testing::PCT});
  explore({.schedules = 60 * times(), .strategy = testing::RANDOM, .slow_steps = true});
}

TEST_P(Explored, HoldsInAllOrdersOfASmallOne) {
  if (!GetParam().small) GTEST_SKIP() << "has too many orders";
  const testing::Exploration all = explore({.schedules = 20'000, .strategy = testing::EXHAUSTIVE});
  EXPECT_TRUE(all.complete);
  RecordProperty("orders", static_cast<int>(all.schedules));
}

TEST_P(Explored, SurvivesACancellationOfAnyTaskAtAnyStep) {
  using testing::Cancellation;
  for (const Cancellation cancel : {Cancellation::ONCE, Cancellation::TWICE, Cancellation::TAKEN_BACK}) {
    explore({.strategy = testing::FIFO, .cancel = cancel});
    explore({.schedules = times(), .strategy = testing::RANDOM, .cancel = cancel});
  }
}

// A limit that ends between two events does the same as one at the later event, so limits are whole
// milliseconds, as the times of the scenarios are, and a nanosecond less and more.
TEST_P(Explored, SurvivesATimeLimitOfAnyLength) {
  Duration end;
  Crew::largest = 0;
  explore({.strategy = testing::FIFO}, [&end] {
    const TimePoint begin = get_running_loop().time();
    GetParam().run();
    end = get_running_loop().time() - begin;
  });
  for (std::size_t task = 0; task < Crew::largest; ++task) {
    for (std::chrono::nanoseconds at = 0ms; Duration(at) <= end; at += 1ms) {
      for (const Duration duration : {Duration(at - 1ns), Duration(at), Duration(at + 1ns)}) {
        time_limit = TimeLimit{task, duration};
        explore({.strategy = testing::FIFO});
        explore({.schedules = times(), .strategy = testing::RANDOM});
      }
    }
  }
}

TEST_P(Explored, TellsTheSameStoryForTheSameSeed) {
  for (std::uint64_t seed = 1; seed <= 5 * times(); ++seed) {
    const testing::ExploreOptions options{.schedules = 1, .seed = seed, .keep_story = true};
    const std::string story = explore(options).story;
    EXPECT_FALSE(story.empty());
    EXPECT_EQ(story, explore(options).story);
  }
}

}  // namespace aiofiber::explored
