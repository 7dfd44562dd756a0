// SPDX-License-Identifier: Apache-2.0
//
// explore() on simulated machines: the orders of their tasks and the moods of their network, from one seed.
//
// Labels: long
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <set>
#include <stdexcept>
#include <string>

#include "aiofiber/await.h"
#include "aiofiber/event.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/simulation.h"
#include "aiofiber/sleep.h"
#include "aiofiber/task.h"
#include "facade/simulation/blocking_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

constexpr int kOrders = 5;

struct Shop {
  std::deque<std::string> outbox;
  std::set<std::string> delivered;
};

// Two tasks wait for the end of a connection: one clears the outbox, the other puts the order back that has
// no answer. The bug: they rely on asyncio's order. It shows only if there is such an order, so if the
// network fails, and only if the other task runs first.
void deliver(Shop& shop) {
  while (!shop.outbox.empty()) {
    const Fd connection = connect_to("server", 7, 5);
    if (!connection) {
      ::sleep(1);
      continue;
    }
    Event broken;
    std::string unanswered;
    Task<> cleaner = create_task({.name = "cleaner"}, [&] {
      await(broken.wait());
      shop.outbox.clear();
    });
    Task<> keeper = create_task({.name = "keeper"}, [&] {
      await(broken.wait());
      if (!unanswered.empty()) shop.outbox.push_front(unanswered);
    });
    while (!shop.outbox.empty()) {
      unanswered = shop.outbox.front();
      shop.outbox.pop_front();
      std::string answer;
      if (!send_text(connection, unanswered + "\n") || !read_line(connection, answer)) break;
      shop.delivered.insert(answer);
      unanswered.clear();
    }
    broken.set();
    await(cleaner);
    await(keeper);
  }
}

void scenario(Simulation& sim, bool network_fails) {
  Shop shop;
  Node server = sim.node("server");
  server.run([] { echo_server(7, 2); });
  sim.node("shop").run([&shop] {
    for (int i = 0; i < kOrders; ++i) {
      shop.outbox.push_back("order " + std::to_string(i));
      deliver(shop);
      ::usleep(300'000);
    }
  });
  sim.link("shop", "server", {.latency = uniform(1ms, 200ms)});
  if (network_fails) {
    sim.at(std::chrono::milliseconds(sim.choose(2000)), [&server] {
      server.kill();
      server.restart();
    });
  }
  sim.run_for(1min);
  if (shop.delivered.size() != kOrders) throw std::runtime_error("an order is lost");
}
void with_failures(Simulation& sim) { scenario(sim, true); }
void without_failures(Simulation& sim) { scenario(sim, false); }

TEST(ExploredSimulation, BugOfOrderAndNetworkIsFoundByBothTogetherOnly) {
  EXPECT_NO_THROW(explore(without_failures, {.schedules = 300}));
  for (std::uint64_t seed = 1; seed <= 300; ++seed)
    EXPECT_NO_THROW(explore(with_failures, {.strategy = FIFO, .seed = seed})) << seed;
  EXPECT_THROW(explore(with_failures, {.schedules = 300}), ScheduleFailed);
}

TEST(ExploredSimulation, PctFindsItToo) {
  EXPECT_THROW(explore(with_failures, {.schedules = 300, .strategy = PCT}), ScheduleFailed);
}

TEST(ExploredSimulation, SeedAndScheduleRepeatTheFailure) {
  std::string text;
  std::string schedule;
  try {
    explore(with_failures, {.schedules = 300});
  } catch (const ScheduleFailed& failed) {
    text = failed.what();
    schedule = failed.schedule();
  }
  EXPECT_NE(text.find("an order is lost"), std::string::npos) << text;
  EXPECT_NE(text.find("keeper"), std::string::npos) << text;
  const std::size_t from = text.find("shrunk: AIOFIBER_SEED=");
  ASSERT_NE(from, std::string::npos) << text;
  const std::size_t begin = from + std::string("shrunk: AIOFIBER_SEED=").size();
  const std::string seed = text.substr(begin, text.find(' ', begin) - begin);
  ::setenv("AIOFIBER_SEED", seed.c_str(), 1);
  ::setenv("AIOFIBER_SCHEDULE", schedule.c_str(), 1);
  EXPECT_THROW(explore(with_failures), ScheduleFailed);
  EXPECT_NO_THROW(explore(without_failures));
  ::setenv("AIOFIBER_SCHEDULE", "0", 1);
  EXPECT_NO_THROW(explore(with_failures));
  ::unsetenv("AIOFIBER_SCHEDULE");
  ::unsetenv("AIOFIBER_SEED");
}

TEST(ExploredSimulation, EqualSeedsTellEqualStories) {
  const auto story = [](std::uint64_t seed) {
    return explore(without_failures, {.schedules = 1, .seed = seed, .keep_story = true}).story;
  };
  EXPECT_EQ(story(7), story(7));
  EXPECT_NE(story(7), story(8));
}

TEST(ExploredSimulation, ErrorOfAProgramAndEndlessStepsAreFailures) {
  const auto throws = [](Simulation& sim) {
    sim.node("a").run([] { throw std::runtime_error("broken"); });
    sim.run_for(1s);
  };
  EXPECT_THROW(explore(throws, {.schedules = 1}), ScheduleFailed);
  const auto endless = [](Simulation& sim) {
    sim.node("a").run([] {
      for (;;) await(sleep(0s));
    });
    sim.run_for(1s);
  };
  EXPECT_THROW(explore(endless, {.schedules = 1, .steps = 1000}), ScheduleFailed);
  EXPECT_THROW(explore(without_failures, {.cancel = Cancellation::ONCE}), ValueError);
  EXPECT_THROW(explore(without_failures, {.slow_steps = true}), ValueError);
}

}  // namespace
}  // namespace aiofiber::testing::test
