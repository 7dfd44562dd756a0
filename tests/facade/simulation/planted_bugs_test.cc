// SPDX-License-Identifier: Apache-2.0
//
// Five classic bugs in toy clients and servers: a simulation finds each within 2,000 seeds, the seed shows it
// again, and the program without the bug passes.
// Labels: slow
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>

#include "aiofiber/simulation.h"
#include "aiofiber/task.h"
#include "facade/simulation/blocking_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

// What went wrong in the run of a seed; "": nothing.
using Scenario = std::string (*)(std::uint64_t seed, bool with_bug);

constexpr std::size_t kMostSeeds = 2000;
constexpr std::size_t kSeedsWithoutBug = 200;

void expect_found(Scenario scenario) {
  std::optional<std::uint64_t> found;
  std::string what;
  for (std::uint64_t seed = 1; seed <= kMostSeeds && !found; ++seed) {
    what = scenario(seed, true);
    if (!what.empty()) found = seed;
  }
  ASSERT_TRUE(found) << "not found in " << kMostSeeds << " seeds";
  ::testing::Test::RecordProperty("found_at_seed", std::to_string(*found));
  EXPECT_EQ(scenario(*found, true), what) << "the seed does not repeat it";
  for (std::uint64_t seed = 1; seed <= kSeedsWithoutBug; ++seed)
    ASSERT_EQ(scenario(seed, false), "") << "without the bug, AIOFIBER_SEED=" << seed;
}

// A link that is cut once, at a random moment of the first minute, for up to 20 s.
void cut_once(Simulation& sim, const char* a, const char* b) {
  sim.at(std::chrono::milliseconds(sim.choose(60'000)), [&sim, a, b] { sim.partition(a, b); });
  sim.at(std::chrono::milliseconds(60'000 + sim.choose(20'000)), [&sim] { sim.heal(); });
}

// ---- a retry that spends twice: the answer was lost, not the payment

std::string retry_that_spends_twice(std::uint64_t seed, bool with_bug) {
  Simulation sim({.seed = seed});
  int spent = 0;  // what the bank has on its disk
  std::set<std::string> seen;
  bool done = false;
  sim.node("bank").run([&] {
    const Fd listener = listen_on(7);
    for (;;) {
      const Fd connection(::accept(listener.get(), nullptr, nullptr));
      limit(connection, 5);
      std::string payment;
      while (read_line(connection, payment)) {
        if (with_bug || seen.insert(payment).second) ++spent;
        if (!send_text(connection, "paid\n")) break;
      }
    }
  });
  constexpr int kPayments = 20;
  sim.node("shop").run([&] {
    for (int i = 0; i < kPayments; ++i) {
      while (ask("bank", 7, "payment " + std::to_string(i), 2) != "paid") ::sleep(1);
      ::sleep(1);
    }
    done = true;
  });
  sim.link("shop", "bank", {.latency = uniform(1ms, 900ms)});
  cut_once(sim, "shop", "bank");
  sim.run_for(1h);
  if (!done) return "the shop is not done";
  return spent == kPayments ? "" : "spent " + std::to_string(spent) + " times";
}

TEST(PlantedBug, RetryThatSpendsTwiceIsFound) { expect_found(retry_that_spends_twice); }

// ---- a lost wake-up: the worker looks at the queue, and waits a little later without looking again

std::string lost_wake_up(std::uint64_t seed, bool with_bug) {
  Simulation sim({.seed = seed});
  struct Shared {
    std::mutex mutex;
    std::condition_variable came;
    std::deque<std::pair<int, std::string>> jobs;
  };
  Shared shared;
  int answered = 0;
  sim.node("server").run([&] {
    create_task([&] {
      for (;;) {
        std::unique_lock lock(shared.mutex);
        if (shared.jobs.empty()) {
          lock.unlock();
          ::usleep(5000);  // writes its log
          lock.lock();
          if (with_bug) {
            shared.came.wait(lock);
          } else {
            shared.came.wait(lock, [&] { return !shared.jobs.empty(); });
          }
        }
        if (shared.jobs.empty()) continue;
        const auto [fd, question] = shared.jobs.front();
        shared.jobs.pop_front();
        lock.unlock();
        ::send(fd, (question + "\n").c_str(), question.size() + 1, MSG_NOSIGNAL);
      }
    }).detach();
    const Fd listener = listen_on(7);
    for (;;) {
      const Fd connection(::accept(listener.get(), nullptr, nullptr));
      std::string question;
      while (read_line(connection, question)) {
        const std::scoped_lock lock(shared.mutex);
        shared.jobs.emplace_back(connection.get(), question);
        shared.came.notify_one();
      }
    }
  });
  constexpr int kQuestions = 20;
  sim.node("client").run([&] {
    const Fd connection = connect_to("server", 7);
    std::string answer;
    for (int i = 0; i < kQuestions; ++i) {
      send_text(connection, "question\n");
      if (!read_line(connection, answer)) return;
      ++answered;
      ::usleep(static_cast<useconds_t>(sim.choose(50'000)));
    }
  });
  sim.link("client", "server", {.latency = uniform(1ms, 5ms)});
  sim.run_for(1min);
  return answered == kQuestions ? "" : "no answer to question " + std::to_string(answered);
}

TEST(PlantedBug, LostWakeUpIsFound) { expect_found(lost_wake_up); }

// ---- no time limit: a server that lost its power never answers

std::string missing_limit(std::uint64_t seed, bool with_bug) {
  Simulation sim({.seed = seed});
  int calls = 0;
  Node server = sim.node("server");
  server.run([] { echo_server(7); });
  sim.node("client").run([&] {
    for (;;) {
      ask("server", 7, "hello", with_bug ? 0 : 5);
      ++calls;
      ::sleep(2);
    }
  });
  sim.link("client", "server", {.latency = uniform(1ms, 40ms)});
  sim.at(std::chrono::milliseconds(sim.choose(60'000)), [&] { server.crash(); });
  sim.at(70s, [&] { server.restart(); });
  sim.run_for(70s);
  const int before = calls;
  sim.run_for(3min);
  return calls - before > 50 ? "" : "the client hangs";
}

TEST(PlantedBug, MissingTimeLimitIsFound) { expect_found(missing_limit); }

// ---- half a line: one recv() is taken for one line

std::string half_a_line(std::uint64_t seed, bool with_bug) {
  Simulation sim({.seed = seed});
  std::string wrong;
  sim.node("server").run([] { echo_server(7); });
  sim.node("client").run([&] {
    const Fd connection = connect_to("server", 7);
    for (int i = 0; i < 5 && wrong.empty(); ++i) {
      const std::string question = "question number " + std::to_string(i);
      send_text(connection, question + "\n");
      std::string answer;
      if (with_bug) {
        char buffer[256];
        const ssize_t count = ::recv(connection.get(), buffer, sizeof buffer, 0);
        answer.assign(buffer, static_cast<std::size_t>(count > 0 ? count - 1 : 0));
      } else {
        read_line(connection, answer);
      }
      if (answer != question) wrong = "'" + answer + "' for '" + question + "'";
    }
  });
  // As on a fast network: bytes that are sent together mostly arrive together.
  sim.link("client", "server", {.latency = uniform(1ms, 2ms), .split = sim.choose(10) == 0});
  sim.run_for(1min);
  return wrong;
}

TEST(PlantedBug, ReadOfHalfALineIsFound) { expect_found(half_a_line); }

// ---- a connection that is used again after a time-out: the late answer is taken for the next one

std::string reuse_after_a_time_out(std::uint64_t seed, bool with_bug) {
  Simulation sim({.seed = seed});
  std::string wrong;
  sim.node("server").run([] { echo_server(7); });
  sim.node("client").run([&] {
    std::optional<Fd> connection;
    for (int i = 0; i < 50 && wrong.empty(); ++i) {
      if (!connection) {
        connection.emplace(connect_to("server", 7));
        limit(*connection, 2);
      }
      const std::string question = std::to_string(i);
      std::string answer;
      if (!*connection || !send_text(*connection, question + "\n")) {
        connection.reset();
      } else if (!read_line(*connection, answer)) {
        if (!with_bug || errno != EAGAIN) connection.reset();
      } else if (answer != question) {
        wrong = "answer " + answer + " for " + question;
      }
      ::sleep(1);
    }
  });
  sim.link("client", "server", {.latency = uniform(1ms, 40ms)});
  sim.at(std::chrono::milliseconds(sim.choose(60'000)), [&] { sim.node("server").pause(); });
  sim.after(std::chrono::milliseconds(60'000 + sim.choose(5000)), [&] { sim.node("server").resume(); });
  sim.run_for(10min);
  return wrong;
}

TEST(PlantedBug, ReuseAfterATimeOutIsFound) { expect_found(reuse_after_a_time_out); }

}  // namespace
}  // namespace aiofiber::testing::test
