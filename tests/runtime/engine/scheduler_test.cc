// SPDX-License-Identifier: Apache-2.0
//
// The scheduler: the order in which fibers and callbacks run, and when it polls.
// Labels: threads
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "support/fiber_loop.h"

namespace aiofiber::runtime {
namespace {

// ---- running

TEST(Fibers, RunInTheOrderInWhichTheyBecameReady) {
  Loop loop;
  Log log;
  for (const char* name : {"a", "b", "c"}) loop.spawn([&log, name] { log.emplace_back(name); });
  EXPECT_TRUE(log.empty());
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
}

TEST(Fibers, KnowWhoTheyAreOnlyWhileTheyRun) {
  Loop loop;
  Fiber* seen = nullptr;
  Scheduler* seen_scheduler = nullptr;
  Fiber& fiber = loop.spawn([&] {
    seen = current_fiber();
    seen_scheduler = Scheduler::current();
  });
  loop.run();
  EXPECT_EQ(seen, &fiber);
  EXPECT_EQ(seen_scheduler, &loop.scheduler());
  EXPECT_EQ(current_fiber(), nullptr);
  EXPECT_EQ(Scheduler::current(), nullptr);
}

TEST(Fibers, AlternateWhenTheyYield) {
  Loop loop;
  Log log;
  for (const char* name : {"ping", "pong"}) {
    loop.spawn([&log, name] {
      for (int i = 0; i < 3; ++i) {
        log.emplace_back(name);
        yield_now();
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"ping", "pong", "ping", "pong", "ping", "pong"}));
}

TEST(Fibers, AFiberThatYieldsAloneGoesOn) {
  Loop loop(SteadyClock::instance());
  int rounds = 0;
  loop.spawn([&] {
    for (; rounds < 1000; ++rounds) yield_now();
  });
  loop.run();
  EXPECT_EQ(rounds, 1000);
}

TEST(Fibers, AThousandSuspendAndAreWokenInReverse) {
  Loop loop;
  constexpr std::size_t kCount = 1000;
  std::vector<Fiber*> waiting;
  std::vector<std::size_t> woken;
  for (std::size_t i = 0; i < kCount; ++i) {
    loop.spawn([&, i] {
      waiting.push_back(current_fiber());
      sleep_until_woken();
      woken.push_back(i);
    });
  }
  loop.spawn([&] {
    EXPECT_EQ(waiting.size(), kCount);
    for (std::size_t i = kCount; i-- > 0;) loop.scheduler().wake_fiber(*waiting[i]);
  });
  loop.run();
  ASSERT_EQ(woken.size(), kCount);
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(woken[i], kCount - 1 - i);
}

// ---- polling

// A clock that moves only by burn(), under a loop that need not poll in every pass.
class ManualClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return now_; }
  void wait_until(Nanoseconds, Reactor& reactor) override { reactor.poll(0); }
  void burn(Nanoseconds duration) noexcept { now_ += duration; }

 private:
  Nanoseconds now_ = 0;
};

class CountingReactor final : public Reactor {
 public:
  explicit CountingReactor(ManualClock& clock, Nanoseconds cost) : clock_(clock), cost_(cost) {}
  int poll(Nanoseconds) override {
    ++polls;
    clock_.burn(cost_);
    return 0;
  }
  void wake() noexcept override {}
  void watch_signal(SignalWaiter&) override {}
  void unwatch_signal(SignalWaiter&) noexcept override {}

  int polls = 0;

 protected:
  void watch(int, unsigned) override {}

 private:
  ManualClock& clock_;
  const Nanoseconds cost_;
};

// How many nodes, each of which takes `duration`, a loop with ready work runs from one poll to the next, when
// it has polled many times.
int nodes_between_polls(Nanoseconds duration, Nanoseconds cost_of_poll = 250) {
  struct Run {
    ManualClock clock;
    Nanoseconds duration = 0;
    CountingReactor* reactor = nullptr;
    int nodes = 0;
  } run;
  run.duration = duration;
  auto reactor = std::make_unique<CountingReactor>(run.clock, cost_of_poll);
  run.reactor = reactor.get();
  Scheduler scheduler(run.clock, std::move(reactor));
  const auto body = [](Fiber& self) noexcept {
    Run& r = *static_cast<Run*>(self.owner);
    const auto yield_until_polled = [&] {
      for (const int before = r.reactor->polls; r.reactor->polls == before; ++r.nodes) {
        r.clock.burn(r.duration);
        self.scheduler->yield();
      }
    };
    for (int polls = 0; polls < 2'000; ++polls) yield_until_polled();
    r.nodes = 0;
    yield_until_polled();
    self.scheduler->stop();
  };
  scheduler.make_ready(scheduler.create_fiber(body, &run, 0, 0));
  scheduler.run();
  return run.nodes;
}

TEST(Polling, ComesAfterSixtyFourNodes) { EXPECT_EQ(nodes_between_polls(100), 64); }

TEST(Polling, ComesEarlierAfterLongNodes) { EXPECT_EQ(nodes_between_polls(5'000), 16); }

// 50 us, seen at the next look at the clock, one each 16 nodes.
TEST(Polling, ComesAfterFiftyMicroseconds) { EXPECT_EQ(nodes_between_polls(1'500), 48); }

// At 10 ns a node, a poll each 64 would be a quarter of the work: it waits for 5 us.
TEST(Polling, IsRareWhileNodesAreVeryShort) { EXPECT_EQ(nodes_between_polls(10), 512); }

// The limits are 20 times the cost, but 5 us at least and 50 us at most. The clock is read once in 64 nodes.
TEST(Polling, IsRarerWhereAPollIsDear) {
  EXPECT_EQ(nodes_between_polls(10, 1'200), 2'432);
  EXPECT_EQ(nodes_between_polls(10, 100), 512);
  EXPECT_EQ(nodes_between_polls(10, 10'000), 5'056);
}

// ---- callbacks

TEST(Callbacks, RunInOrderWithFibersButOnNoFiber) {
  Loop loop;
  Log log;
  Callback callback([&] {
    EXPECT_EQ(current_fiber(), nullptr);
    log.emplace_back("callback");
  });
  loop.spawn([&] { log.emplace_back("a"); });
  loop.scheduler().make_ready(callback);
  loop.spawn([&] { log.emplace_back("b"); });
  loop.run();
  EXPECT_EQ(log, (Log{"a", "callback", "b"}));
}

TEST(Callbacks, AnExceptionLeavesRunInMidPass) {
  Loop loop;
  bool ran = false;
  Callback callback([] { throw std::runtime_error("out"); });
  loop.scheduler().make_ready(callback);
  loop.spawn([&] { ran = true; });
  EXPECT_THROW(loop.run(), std::runtime_error);
  EXPECT_FALSE(ran);
  EXPECT_EQ(loop.scheduler().ready_count(), 1u);
  loop.run();
  EXPECT_TRUE(ran);
}

TEST(Callbacks, ExitWithEndsRunAfterTheFiberIsOffTheCpu) {
  Loop loop;
  Log log;
  loop.spawn([&] {
    loop.scheduler().exit_with(std::make_exception_ptr(std::runtime_error("exit")));
    log.emplace_back("first");
  });
  loop.spawn([&] { log.emplace_back("second"); });
  EXPECT_THROW(loop.run(), std::runtime_error);
  EXPECT_EQ(log, (Log{"first"}));
  loop.run();
  EXPECT_EQ(log, (Log{"first", "second"}));
}

// What becomes ready in a pass waits for the next one.
TEST(Callbacks, APassRunsOnlyWhatItBeganWith) {
  Loop loop;
  std::vector<std::uint64_t> passes;
  Callback second([&] { passes.push_back(loop.scheduler().passes()); });
  loop.spawn([&] {
    passes.push_back(loop.scheduler().passes());
    loop.scheduler().make_ready(second);
    yield_now();
    passes.push_back(loop.scheduler().passes());
  });
  loop.run();
  EXPECT_EQ(passes, (std::vector<std::uint64_t>{1, 2, 2}));
}

}  // namespace
}  // namespace aiofiber::runtime
