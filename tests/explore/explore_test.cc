// SPDX-License-Identifier: Apache-2.0
//
// The explorer itself: which orders it runs, what counts as a failure, and that each failure repeats.
// Labels: long
#include "aiofiber/explore.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "aiofiber/testing.h"
#include "explore/scenario.h"
#include "support/keep_books.h"

namespace aiofiber::explored {
namespace {

using testing::explore;
using testing::ScheduleFailed;

// Sets a variable of the environment for a scope.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// Tasks a, b, ... of `steps` steps each, which write their names. No callbacks and no waits for each other.
std::string order_of_steps(int tasks, int steps) {
  std::string order;
  for (int i = 0; i < tasks; ++i) {
    create_task([&order, steps, name = static_cast<char>('a' + i)] {
      for (int step = 0; step < steps; ++step) {
        if (step > 0) yield();
        order += name;
      }
    }).detach();
  }
  nap(1);
  return order;
}

std::set<std::string> orders_seen(int tasks, int steps, const testing::ExploreOptions& options,
                                  testing::Exploration* done = nullptr) {
  std::set<std::string> seen;
  const testing::Exploration explored = explore([&] { seen.insert(order_of_steps(tasks, steps)); }, options);
  if (done != nullptr) *done = explored;
  return seen;
}

ScheduleFailed failure_of(const std::function<void()>& scenario,
                          const testing::ExploreOptions& options = {}) {
  try {
    explore(scenario, options);
  } catch (const ScheduleFailed& failed) {
    return failed;
  }
  throw std::logic_error("no schedule fails");
}

TEST(Explore, RunsAllOrdersOnce) {
  struct {
    int tasks, steps;
    std::size_t orders;  // (tasks * steps)! / steps! ^ tasks
  } const known[] = {{2, 2, 6}, {2, 3, 20}, {3, 2, 90}, {4, 2, 2520}};
  for (const auto& [tasks, steps, orders] : known) {
    testing::Exploration done;
    const auto seen = orders_seen(tasks, steps, {.schedules = 3000, .strategy = testing::EXHAUSTIVE}, &done);
    EXPECT_EQ(done.schedules, orders);
    EXPECT_EQ(seen.size(), orders);
    EXPECT_TRUE(done.complete);
  }
}

TEST(Explore, SaysWhenThereAreMoreOrders) {
  testing::Exploration done;
  EXPECT_EQ(orders_seen(3, 2, {.schedules = 89, .strategy = testing::EXHAUSTIVE}, &done).size(), 89u);
  EXPECT_FALSE(done.complete);
}

TEST(Explore, FifoIsTheOrderOfAsyncio) {
  EXPECT_EQ(orders_seen(3, 2, {.strategy = testing::FIFO}), std::set<std::string>{"abcabc"});
}

TEST(Explore, RandomAndPctSeeManyOrders) {
  EXPECT_EQ(orders_seen(2, 2, {.schedules = 200, .strategy = testing::RANDOM}).size(), 6u);
  EXPECT_GE(orders_seen(2, 2, {.schedules = 500, .strategy = testing::PCT}).size(), 5u);
}

// Fails if the second task overtakes the first one.
void overtaking() {
  std::string order = order_of_steps(2, 1);
  for (int i = 0; i < 10; ++i) order_of_steps(3, 2);
  must(order == "ab", "a before b");
}

TEST(Explore, RepeatsAFailureByItsSeed) {
  const ScheduleFailed first = failure_of(overtaking, {.seed = 100});
  const std::string text = first.what();
  const std::string repro = "repro: AIOFIBER_SEED=";
  const std::size_t at = text.find(repro) + repro.size();
  const std::string seed = text.substr(at, text.find(' ', at) - at);
  EXPECT_NE(text.find("--gtest_filter=Explore.RepeatsAFailureByItsSeed\n"), std::string::npos) << text;
  const Variable variable("AIOFIBER_SEED", seed);
  for (int i = 0; i < 100; ++i) {
    const ScheduleFailed again = failure_of(overtaking, {.seed = 5});
    EXPECT_EQ(again.schedules(), 1u);
    EXPECT_EQ(again.schedule(), first.schedule());
  }
}

TEST(Explore, ShrinksAFailureToTheChoiceThatMatters) {
  const ScheduleFailed failed = failure_of(overtaking);
  EXPECT_EQ(failed.schedule(), "1") << "the first choice, and asyncio's order after it";
  const Variable variable("AIOFIBER_SCHEDULE", failed.schedule());
  EXPECT_EQ(failure_of(overtaking).failure(), failed.failure());
  EXPECT_NO_THROW(explore([] { order_of_steps(2, 1); }));
}

TEST(Explore, TellsAStory) {
  Lock* shared = nullptr;
  const auto scenario = [&] {
    Lock lock;
    shared = &lock;
    create_task({.name = "holder"}, [&] {
      const std::unique_lock guard(*shared);
      nap(1);
    }).detach();
    create_task({.name = "waiter"}, [&] {
      const std::unique_lock guard(*shared);
      yield();
    }).detach();
    nap(2);
  };
  EXPECT_EQ(explore(scenario, {.strategy = testing::FIFO, .keep_story = true}).story,
            "     0 #0 scenario: waits for sleep until 0.002 s\n"
            "     1 #1 holder: waits for sleep until 0.001 s\n"
            "     2 #2 waiter: waits for lock 1\n"
            "      at 0.001 s\n"
            "     3 a wait of the runtime\n"
            "     4 #1 holder ends\n"
            "     5 #2 waiter: lets others run\n"
            "     6 #2 waiter ends\n"
            "      at 0.002 s\n"
            "     7 a wait of the runtime\n"
            "     8 #0 scenario ends\n"
            "     9 a callback\n")
      << "the callback ends run_until_complete()";
}

// Runs itself in a child, which only prints the story.
TEST(Explore, TellsTheSameStoryInAnotherProcess) {
  const auto scenario = [] { order_of_steps(4, 3); };
  const std::string story = explore(scenario, {.schedules = 1, .seed = 7, .keep_story = true}).story;
  if (std::getenv("AIOFIBER_STORY_ONLY") != nullptr) {
    std::printf("<%s>", story.c_str());
    return;
  }
  const Variable only("AIOFIBER_STORY_ONLY", "1");
  const std::string self = std::to_string(::getpid());
  std::FILE* const child = ::popen(
      ("exec /proc/" + self + "/exe --gtest_filter=Explore.TellsTheSameStoryInAnotherProcess").c_str(), "re");
  ASSERT_NE(child, nullptr);
  std::string output;
  for (int c = std::fgetc(child); c != EOF; c = std::fgetc(child)) output += static_cast<char>(c);
  ::pclose(child);
  EXPECT_NE(output.find("<" + story + ">"), std::string::npos) << output;
}

TEST(Explore, FailsForWhatIsLeftBehind) {
  EXPECT_EQ(failure_of([] { create_task({.name = "sleeper"}, [] { nap(5); }).detach(); }).failure(),
            "tasks are left: #1 sleeper waits for sleep until 0.005 s");
  EXPECT_EQ(failure_of([] { get_running_loop().call_later(1h, [] {}); }).failure(), "1 timers are left");
  const std::string lost = failure_of([] {
                             create_task([] { throw ValueError("lost"); }).detach();
                             nap(1);
                           }).failure();
  EXPECT_NE(lost.find("Task exception was never retrieved"), std::string::npos) << lost;
}

TEST(Explore, FailsForDeadlocksAndCircles) {
  const std::string deadlock = failure_of([] {
                                 Event event;
                                 await(event.wait());
                               }).failure();
  EXPECT_EQ(deadlock, "deadlock: #0 scenario waits for event");
  EXPECT_EQ(failure_of(
                [] {
                  for (;;) yield();
                },
                {.steps = 50})
                .failure(),
            "more than 50 steps; #0 scenario");
}

TEST(Explore, FailsForWhatTheScenarioThrows) {
  EXPECT_EQ(failure_of([] { throw ValueError("planned"); }).failure(), "ValueError('planned')");
  EXPECT_EQ(failure_of([] { throw CancelledError(); }).failure(), "CancelledError()");
}

TEST(Explore, CancelsEachTaskBeforeEachStep) {
  // The steps that a task has done when it is cancelled; -1: it ends by itself.
  std::multiset<int> ends;
  const auto scenario = [&] {
    const auto worker = [&] {
      int done = 0;
      try {
        for (; done < 3; ++done) yield();
        done = -1;
      } catch (const CancelledError&) {
      }
      ends.insert(done);
    };
    const std::vector<Task<>> tasks{create_task(worker), create_task(worker)};
    await(wait(tasks));
    if (tasks[0].cancelled() || tasks[1].cancelled()) ends.insert(-2);  // before its first step
  };
  const testing::Exploration done =
      explore(scenario, {.strategy = testing::FIFO, .cancel = testing::Cancellation::ONCE});
  EXPECT_GT(done.schedules, 10u);
  for (const int place : {-2, 0, 1, 2}) EXPECT_GE(ends.count(place), 2u) << place;
  ends.clear();
  explore(scenario, {.strategy = testing::FIFO, .cancel = testing::Cancellation::TAKEN_BACK});
  EXPECT_EQ(ends.count(-1), ends.size()) << "a request that is taken back before the step is not raised";
}

TEST(Explore, LetsTimePassWhileTasksAreReady) {
  // Two steps in a row take no time, unless the machine is slow.
  const auto scenario = [] {
    bool late = false;
    TimerHandle timer = get_running_loop().call_later(1ms, [&] { late = true; });
    yield();
    yield();
    timer.cancel();
    must(!late, "in time");
  };
  EXPECT_NO_THROW(explore(scenario));
  const std::string text = failure_of(scenario, {.slow_steps = true}).what();
  EXPECT_NE(text.find("time passes"), std::string::npos) << text;
}

TEST(Explore, IsForTheOutsideOfALoop) {
  testing::TestLoop loop;
  EXPECT_THROW(loop.run_until_complete([] { explore([] {}); }), RuntimeError);
  loop.close();
}

TEST(Explore, RefusesWhatIsNoSeedAndNoSchedule) {
  {
    const Variable variable("AIOFIBER_SEED", "seven");
    EXPECT_THROW(explore([] {}), std::invalid_argument);
  }
  for (const char* text : {"x", "1.", "1@", "1@2", "1@2.3.4"}) {
    const Variable variable("AIOFIBER_SCHEDULE", text);
    EXPECT_THROW(explore([] {}), std::invalid_argument) << text;
  }
}

TEST(Explore, ReportsFailedExpectations) {
  const auto scenario = [] { EXPECT_EQ(order_of_steps(2, 1), "ab"); };
  try {
    testing::explore_expectations(scenario);
    FAIL() << "b may overtake a";
  } catch (const ScheduleFailed& failed) {
    EXPECT_NE(failed.failure().find("order_of_steps(2, 1)"), std::string::npos) << failed.failure();
  }
}

TEST(Seed, ChoosesWhichTaskRuns) {
  std::set<std::string> seen;
  const auto run = [](std::uint64_t seed) {
    const testing::Seed scope(seed);
    testing::TestLoop loop;
    const std::string order = loop.run_until_complete([] { return order_of_steps(3, 2); });
    loop.close();
    return order;
  };
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::string order = run(seed);
    EXPECT_EQ(order, run(seed)) << "the same seed, the same order";
    seen.insert(order);
  }
  EXPECT_GT(seen.size(), 20u);
}

}  // namespace
}  // namespace aiofiber::explored
