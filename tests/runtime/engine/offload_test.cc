// SPDX-License-Identifier: Apache-2.0
//
// Other threads: what they post to a loop, and calls that run on them.
// Labels: threads
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/parker.h"
#include "support/fiber_loop.h"
#include "support/pipe.h"

namespace aiofiber::runtime {
namespace {

TEST(Post, FromAnotherThreadWakesTheLoop) {
  Loop loop(SteadyClock::instance());
  std::thread::id ran_on;
  Parker* parker = nullptr;
  Callback callback([&] {
    ran_on = std::this_thread::get_id();
    parker->unpark();
  });
  std::thread thread;
  loop.spawn([&] {
    Parker own;
    parker = &own;
    thread = std::thread([&] { loop.scheduler().post(callback); });
    EXPECT_EQ(own.park(AIOFIBER_WAIT_OTHER, 0), Wake::kUnparked);
  });
  loop.run();
  thread.join();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(Post, KeepsTheOrderOfEachThread) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kPosts = 500;
  Loop loop(SteadyClock::instance());
  std::array<std::vector<std::size_t>, kThreads> seen;
  std::vector<std::unique_ptr<Callback>> callbacks;
  std::size_t left = kThreads * kPosts;
  Parker* parker = nullptr;
  for (std::size_t i = 0; i < kThreads * kPosts; ++i) {
    callbacks.push_back(std::make_unique<Callback>([&, i] {
      seen[i / kPosts].push_back(i % kPosts);
      if (--left == 0) parker->unpark();
    }));
  }
  std::vector<std::thread> threads;
  loop.spawn([&] {
    Parker own;
    parker = &own;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < kPosts; ++i) loop.scheduler().post(*callbacks[t * kPosts + i]);
      });
    }
    own.park(AIOFIBER_WAIT_OTHER, 0);
  });
  loop.run();
  for (std::thread& thread : threads) thread.join();
  for (const auto& of_thread : seen) {
    ASSERT_EQ(of_thread.size(), kPosts);
    for (std::size_t i = 0; i < kPosts; ++i) EXPECT_EQ(of_thread[i], i);
  }
}

TEST(Offload, RunsOnAnotherThreadWhileOtherFibersRun) {
  Loop loop(SteadyClock::instance());
  Pipe to_pool;  // the call cannot end before the other fiber has written
  std::thread::id ran_on;
  int result = 0;
  loop.spawn([&] {
    result = offload([&] {
      ran_on = std::this_thread::get_id();
      char c = 0;
      while (::read(to_pool.reader(), &c, 1) != 1) std::this_thread::yield();
      return 40 + (c - '0');
    });
  });
  loop.spawn([&] { to_pool.put('2'); });
  loop.run();
  EXPECT_EQ(result, 42);
  EXPECT_NE(ran_on, std::thread::id());
  EXPECT_NE(ran_on, std::this_thread::get_id());
}

TEST(Offload, CarriesErrnoAndExceptions) {
  Loop loop(SteadyClock::instance());
  int error = 0;
  std::string message;
  loop.spawn([&] {
    offload([] { errno = EDOM; });
    error = errno;
    try {
      offload([]() -> int { throw std::runtime_error("from the pool"); });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
  });
  loop.run();
  EXPECT_EQ(error, EDOM);
  EXPECT_EQ(message, "from the pool");
}

TEST(Offload, AnInterruptionWaitsForTheCallAndIsKept) {
  Loop loop(SteadyClock::instance());
  Pipe to_pool;
  bool returned = false;
  bool interrupted = false;
  Fiber& fiber = loop.spawn([&] {
    offload([&] {
      char c = 0;
      while (::read(to_pool.reader(), &c, 1) != 1) std::this_thread::yield();
    });
    returned = true;
    interrupted = current_fiber()->take_interrupted();
  });
  loop.spawn([&] {
    EXPECT_TRUE(fiber.parker->interrupt());
    yield_now();
    yield_now();
    EXPECT_FALSE(returned);
    to_pool.put('x');
  });
  loop.run();
  EXPECT_TRUE(returned);
  EXPECT_TRUE(interrupted);
}

}  // namespace
}  // namespace aiofiber::runtime
