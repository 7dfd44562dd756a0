// SPDX-License-Identifier: Apache-2.0
//
// Other threads: what they post to a loop, and calls that run on them.
// Labels: threads
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"
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

// A reactor that another thread uses as it sleeps: `at_sleep` is called instead.
class SleepingReactor final : public Reactor {
 public:
  explicit SleepingReactor(std::function<void()> at_sleep) : at_sleep_(std::move(at_sleep)) {}
  int poll(Nanoseconds timeout) override {
    if (timeout > 0) at_sleep_();
    return 0;
  }
  void wake() noexcept override { ++wakes; }
  void watch_signal(SignalWaiter&) override {}
  void unwatch_signal(SignalWaiter&) noexcept override {}

  int wakes = 0;

 protected:
  void watch(int, unsigned) override {}

 private:
  std::function<void()> at_sleep_;
};

TEST(Post, WakesASleepingLoopOnceAndALoopThatRunsNever) {
  Scheduler* scheduler = nullptr;
  int ran = 0;
  int sleeps = 0;
  std::vector<std::unique_ptr<Callback>> callbacks;
  const auto post = [&](std::function<void()> function) {
    callbacks.push_back(std::make_unique<Callback>(std::move(function)));
    scheduler->post(*callbacks.back());
  };
  auto reactor = std::make_unique<SleepingReactor>([&] {
    if (++sleeps == 2) scheduler->stop();
    if (sleeps == 1) {
      for (int i = 0; i < 3; ++i) post([&] { ++ran; });
      post([&] {
        for (int i = 0; i < 3; ++i) post([&] { ++ran; });
      });
    }
  });
  const SleepingReactor& watched = *reactor;
  Scheduler loop(SteadyClock::instance(), std::move(reactor));
  scheduler = &loop;
  loop.run();
  EXPECT_EQ(ran, 6);
  EXPECT_EQ(sleeps, 2);
  EXPECT_EQ(watched.wakes, 1);
}

TEST(Post, JustBeforeTheLoopSleepsKeepsItAwake) {
  struct Run {
    Scheduler* scheduler = nullptr;
    int sleeps = 0;
    int sleeps_before = -1;  // the post
    bool posted = false;
    std::unique_ptr<Callback> callback;
  } run;
  auto reactor = std::make_unique<SleepingReactor>([&] {
    ++run.sleeps;
    run.scheduler->stop();
  });
  const SleepingReactor& watched = *reactor;
  Scheduler loop(SteadyClock::instance(), std::move(reactor));
  run.scheduler = &loop;
  run.callback = std::make_unique<Callback>([&] { run.sleeps_before = run.sleeps; });
  loop.set_before_endless_sleep(
      [](void* argument) {
        Run& r = *static_cast<Run*>(argument);
        if (!std::exchange(r.posted, true)) r.scheduler->post(*r.callback);
      },
      &run);
  loop.run();
  EXPECT_EQ(run.sleeps_before, 0);
  EXPECT_EQ(watched.wakes, 0);
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

// ---- calls that own what they use

// What has become of calls.
struct Fate {
  std::atomic<bool> begun{false};
  std::atomic<bool> may_end{false};
  std::atomic<int> ran{0};
  std::atomic<int> destroyed{0};

  void wait_until_destroyed() const {
    while (destroyed.load() == 0) std::this_thread::yield();
  }
};

// Runs until the test lets it end.
class HeldCall final : public DetachedCall {
 public:
  explicit HeldCall(Fate& fate) : fate_(fate) {}
  ~HeldCall() override { ++fate_.destroyed; }

 private:
  void call() noexcept override {
    fate_.begun = true;
    while (!fate_.may_end.load()) std::this_thread::yield();
    ++fate_.ran;
  }
  Fate& fate_;
};

DetachedCall::Owner<HeldCall> started(Fate& fate, OffloadPool& pool = OffloadPool::io()) {
  DetachedCall::Owner<HeldCall> call(new HeldCall(fate));
  call->start(pool);
  return call;
}

void wait_until_posted(Scheduler& scheduler) {
  while (!scheduler.has_posted()) std::this_thread::yield();
}

TEST(DetachedCall, IsWaitedForWhileOtherFibersRun) {
  Loop loop(SteadyClock::instance());
  Fate fate;
  loop.spawn([&] {
    const auto call = started(fate);
    EXPECT_EQ(call->wait(), Wake::kUnparked);
    EXPECT_EQ(fate.ran, 1);
    EXPECT_EQ(call->wait(), Wake::kUnparked) << "again, at once";
  });
  loop.spawn([&] { fate.may_end = true; });
  loop.run();
  EXPECT_EQ(fate.destroyed, 1);
}

TEST(DetachedCall, EndsAloneIfItsFiberLeavesIt) {
  Fate fate;
  {
    Loop loop(SteadyClock::instance());
    Fiber& fiber = loop.spawn([&] {
      const auto call = started(fate);
      EXPECT_EQ(call->wait(), Wake::kInterrupted);
      EXPECT_TRUE(current_fiber()->take_interrupted());
    });
    loop.spawn([&] {
      while (!fate.begun.load()) std::this_thread::yield();
      EXPECT_TRUE(fiber.parker->interrupt());
    });
    loop.run();
  }
  EXPECT_EQ(fate.destroyed, 0) << "its loop is gone, it is not";
  fate.may_end = true;
  fate.wait_until_destroyed();
  EXPECT_EQ(fate.ran, 1);
}

TEST(DetachedCall, IsTakenOffThePoolIfNoThreadHasBegunIt) {
  Loop loop(SteadyClock::instance());
  OffloadPool pool(1);
  Fate before, fate;
  Fiber& fiber = loop.spawn([&] {
    const auto first = started(before, pool);
    while (!before.begun.load()) std::this_thread::yield();
    {
      const auto call = started(fate, pool);
      EXPECT_EQ(call->wait(), Wake::kInterrupted);
    }
    EXPECT_EQ(fate.destroyed, 1);
    EXPECT_TRUE(current_fiber()->take_interrupted());
    before.may_end = true;
    EXPECT_EQ(first->wait(), Wake::kUnparked);
  });
  loop.spawn([&] { EXPECT_TRUE(fiber.parker->interrupt()); });
  loop.run();
  EXPECT_EQ(fate.ran, 0);
}

TEST(DetachedCall, GivesTheAnswerThatWasOnTheWayWhenItWasInterrupted) {
  Loop loop(SteadyClock::instance());
  Fate fate;
  Fiber& fiber = loop.spawn([&] {
    const auto call = started(fate);
    EXPECT_EQ(call->wait(), Wake::kUnparked);
    EXPECT_TRUE(current_fiber()->take_interrupted()) << "kept for the next wait";
  });
  loop.spawn([&] {
    fate.may_end = true;
    wait_until_posted(loop.scheduler());
    EXPECT_TRUE(fiber.parker->interrupt());
  });
  loop.run();
  EXPECT_EQ(fate.ran, 1);
}

TEST(DetachedCall, IsDestroyedByTheLoopIfItsFiberLeavesItWhenItHasRun) {
  Loop loop(SteadyClock::instance());
  Fate fate;
  fate.may_end = true;
  loop.spawn([&] {
    auto call = started(fate);
    wait_until_posted(loop.scheduler());
    call.reset();
    EXPECT_EQ(fate.destroyed, 0);
    while (fate.destroyed == 0) yield_now();
  });
  loop.run();
}

TEST(DetachedCall, IsTakenBackFromALoopThatCloses) {
  Loop loop(SteadyClock::instance());
  Fate fate;
  Fiber& fiber = loop.spawn([&] {
    const auto call = started(fate);
    Parker parker;
    parker.park(AIOFIBER_WAIT_OTHER, 0);  // until it is unwound
    EXPECT_EQ(call->wait(), Wake::kUnparked);
    EXPECT_EQ(fate.destroyed, 0);
  });
  loop.spawn([&] {
    fate.may_end = true;
    wait_until_posted(loop.scheduler());
    loop.scheduler().stop();
  });
  loop.run();
  EXPECT_TRUE(loop.unwind(fiber));
  EXPECT_EQ(fate.destroyed, 1);
}

TEST(DetachedCall, ThatWasNotStartedIsDestroyed) {
  Loop loop;
  Fate fate;
  loop.spawn([&] {
    OffloadPool pool(1);
    pool.shutdown(false);
    EXPECT_THROW(started(fate, pool), std::runtime_error);
    EXPECT_EQ(fate.destroyed, 1);
  });
  loop.run();
}

}  // namespace
}  // namespace aiofiber::runtime
