// SPDX-License-Identifier: Apache-2.0
//
// The scheduler with everything that suspends on it: switching, parking, descriptors, offloaded calls, other
// threads, and the unwinding of fibers when their loop closes.
//
// Each test owns a scheduler (class Loop below). It runs until its last fiber has ended, and checks that no
// fiber and no stack is left. Time is virtual unless real threads take part.
// Labels: threads
#include <aiofiber/runtime/engine/fd_wait.h>
#include <aiofiber/runtime/engine/make_scheduler.h>
#include <aiofiber/runtime/engine/offload.h>
#include <aiofiber/runtime/engine/parker.h>
#include <aiofiber/runtime/engine/reactor.h>
#include <aiofiber/runtime/engine/scheduler.h>
#include <aiofiber/runtime/engine/syscall.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace aiofiber::runtime {
namespace {

// ---- A loop for tests -------------------------------------------------------------------------------------

// Runs functions as fibers. A body that sees ForcedUnwind ends, as a task of the facade does.
class Loop {
 public:
  explicit Loop(Clock& clock) : scheduler_(make_scheduler(clock)) {}
  Loop() : Loop(clock_) {}
  ~Loop() {
    EXPECT_EQ(scheduler_->fibers_alive(), 0u);
    EXPECT_EQ(scheduler_->stacks().stacks_in_use(), abandoned_.size());
    EXPECT_TRUE(scheduler_->timers().empty());
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Creates a fiber and makes it ready.
  Fiber& spawn(std::function<void()> function, std::size_t stack_bytes = 0) {
    auto start = std::make_unique<Start>(Start{*this, std::move(function)});
    Fiber& fiber = scheduler_->create_fiber(body, start.get(), stack_bytes, 0);
    static_cast<void>(start.release());
    ++left_;
    scheduler_->make_ready(fiber);
    return fiber;
  }
  // Runs until every fiber has ended; at once if there is none.
  void run() {
    if (left_ > 0) scheduler_->run();
  }
  // Runs the passes that are possible without anything from outside, then returns. Uses the virtual clock's
  // Deadlock, by which run() is left.
  void run_until_stuck() { EXPECT_THROW(scheduler_->run(), Deadlock); }
  bool unwind(Fiber& fiber) {
    auto* const start = static_cast<Start*>(fiber.owner);
    const bool ended = scheduler_->unwind(fiber);
    if (!ended) {
      --left_;
      abandoned_.emplace_back(start);  // its frame will never delete it
    }
    return ended;
  }

  Scheduler& scheduler() { return *scheduler_; }
  VirtualClock& clock() { return clock_; }
  std::vector<std::string> failures;  // start_failure() of fibers that got no stack

 private:
  struct Start {
    Loop& loop;
    std::function<void()> function;
  };

  static void body(Fiber& fiber) noexcept {
    const std::unique_ptr<Start> start(static_cast<Start*>(fiber.owner));
    Loop& loop = start->loop;
    if (!fiber.started()) {
      loop.failures.emplace_back(fiber.scheduler->start_failure());
    } else {
      try {
        start->function();
      } catch (const ForcedUnwind&) {
      } catch (...) {
        ADD_FAILURE() << "an exception left a fiber";
      }
    }
    if (--loop.left_ == 0) loop.scheduler_->stop();
  }

  VirtualClock clock_;
  std::unique_ptr<Scheduler> scheduler_;
  std::size_t left_ = 0;
  std::vector<std::unique_ptr<Start>> abandoned_;
};

// Suspends until Scheduler::wake_fiber wakes the fiber; throws when the loop closes.
void sleep_until_woken() {
  Fiber& self = *current_fiber();
  self.set_wait(AIOFIBER_WAIT_OTHER, 0, 0);
  self.state = AIOFIBER_WAITING;
  self.scheduler->suspend();
  if (self.unwinding) throw ForcedUnwind();
}

using Log = std::vector<std::string>;

// ---- Running ----------------------------------------------------------------------------------------------

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

// ---- Polling ----------------------------------------------------------------------------------------------

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
  int poll(Nanoseconds) override {
    ++polls;
    return 0;
  }
  void wake() noexcept override {}
  void watch_signal(SignalWaiter&) override {}
  void unwatch_signal(SignalWaiter&) noexcept override {}

  int polls = 0;

 protected:
  void watch(int, unsigned) override {}
};

// How many nodes, each of which takes `duration`, a loop with ready work runs from one poll to the next.
int nodes_between_polls(Nanoseconds duration) {
  struct Run {
    ManualClock clock;
    Nanoseconds duration = 0;
    CountingReactor* reactor = nullptr;
    int nodes = 0;
  } run;
  run.duration = duration;
  auto reactor = std::make_unique<CountingReactor>();
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
    yield_until_polled();  // whatever came before
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

// ---- Parking ----------------------------------------------------------------------------------------------

TEST(Parker, ReturnsWhenUnparked) {
  Loop loop;
  Parker* parker = nullptr;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker own;
    parker = &own;
    reason = own.park(AIOFIBER_WAIT_OTHER, 0);
  });
  loop.spawn([&] { parker->unpark(); });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

TEST(Parker, TimesOutExactlyAtItsDeadline) {
  Loop loop;
  Wake reason = Wake::kNone;
  Nanoseconds end = 0;
  loop.spawn([&] {
    Parker parker;
    reason = parker.park(AIOFIBER_WAIT_SLEEP, 0, 3'600'000'000'000);
    end = loop.scheduler().now();
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kTimedOut);
  EXPECT_EQ(end, 3'600'000'000'000);
}

TEST(Parker, GivesTheLongerWaitToTheLaterFiber) {
  Loop loop;
  Log log;
  for (const int seconds : {3, 1, 2}) {
    loop.spawn([&log, seconds] {
      Parker parker;
      parker.park(AIOFIBER_WAIT_SLEEP, 0, seconds * Nanoseconds{1'000'000'000});
      log.push_back(std::to_string(seconds));
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"1", "2", "3"}));
}

TEST(Parker, KeepsAWakeThatCameBeforeThePark) {
  Loop loop;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker parker;
    parker.unpark();
    reason = parker.park(AIOFIBER_WAIT_OTHER, 0);
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

TEST(Parker, LetsTheFirstReasonDecide) {
  Loop loop;
  Parker* parker = nullptr;
  Wake reason = Wake::kNone;
  bool interrupt_was_first = true;
  loop.spawn([&] {
    Parker own;
    parker = &own;
    reason = own.park(AIOFIBER_WAIT_OTHER, 0);
    EXPECT_FALSE(current_fiber()->interrupted);
  });
  loop.spawn([&] {
    parker->unpark();
    interrupt_was_first = parker->interrupt();
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
  EXPECT_FALSE(interrupt_was_first);
}

TEST(Parker, KeepsSayingInterruptedUntilTheInterruptionIsRaised) {
  Loop loop;
  Parker* parker = nullptr;
  std::vector<Wake> reasons;
  loop.spawn([&] {
    {
      Parker own;
      parker = &own;
      reasons.push_back(own.park(AIOFIBER_WAIT_OTHER, 0, 1'000));
    }
    Parker second;
    reasons.push_back(second.park(AIOFIBER_WAIT_OTHER, 0, 1'000));
    current_fiber()->interrupted = false;  // as the facade does when it raises the error
    Parker third;
    reasons.push_back(third.park(AIOFIBER_WAIT_OTHER, 0, 1'000));
  });
  loop.spawn([&] { EXPECT_TRUE(parker->interrupt()); });
  loop.run();
  EXPECT_EQ(reasons, (std::vector{Wake::kInterrupted, Wake::kInterrupted, Wake::kTimedOut}));
}

// The deadline passes while the woken fiber is still in the queue: its node must not be queued behind the
// fiber, whose frame is gone by then.
TEST(Parker, DropsADeadlineThatExpiresAfterTheWake) {
  Loop loop;
  Parker* parker = nullptr;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    {
      Parker own;
      parker = &own;
      reason = own.park(AIOFIBER_WAIT_OTHER, 0, 1'000);
    }
    yield_now();
    yield_now();
  });
  loop.spawn([&] {
    parker->unpark();
    loop.clock().burn(5'000);
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

struct UnparkTimer : Timer {
  UnparkTimer()
      : Timer(Kind::kInternal, [](Runnable& node) { static_cast<UnparkTimer&>(node).parker->unpark(); }) {}
  Parker* parker = nullptr;
};

// The other way round: the deadline decides, and the unpark comes before the fiber runs.
TEST(Parker, IgnoresAnUnparkAfterTheDeadline) {
  Loop loop;
  UnparkTimer unparks;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker own;
    unparks.parker = &own;
    reason = own.park(AIOFIBER_WAIT_OTHER, 0, 1'000);
  });
  loop.spawn([&] { loop.scheduler().timers().start(unparks, 1'000); });  // same deadline, later in the queue
  loop.run();
  EXPECT_FALSE(unparks.armed());
  EXPECT_EQ(reason, Wake::kTimedOut);
}

// The deadline is queued already when something queued before it unparks the fiber.
TEST(Parker, RunsAQueuedDeadlineBeforeItsFiber) {
  Loop loop;
  UnparkTimer unparks;
  Wake reason = Wake::kNone;
  loop.spawn([&] {
    Parker own;
    unparks.parker = &own;
    loop.scheduler().timers().start(unparks, 1'000);  // same deadline, earlier in the queue
    reason = own.park(AIOFIBER_WAIT_OTHER, 0, 1'000);
  });
  loop.run();
  EXPECT_EQ(reason, Wake::kUnparked);
}

// ---- Callbacks --------------------------------------------------------------------------------------------

struct Callback : Runnable {
  explicit Callback(std::function<void()> fn)
      : Runnable(Kind::kCallback, [](Runnable& node) { static_cast<Callback&>(node).function(); }),
        function(std::move(fn)) {}
  std::function<void()> function;
};

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

// ---- Stacks -----------------------------------------------------------------------------------------------

TEST(Stacks, AFinishedFibersStackGoesToItsSuccessor) {
  Loop loop;
  std::set<std::uint64_t> stacks;
  for (int i = 0; i < 100; ++i) {
    loop.spawn([&] { stacks.insert(current_fiber()->stack_high); });
  }
  loop.run();
  EXPECT_EQ(stacks.size(), 1u);
}

TEST(Stacks, AStackThatCameBackIsUsedAgain) {
  Loop loop;
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  loop.spawn([&] {
    first = current_fiber()->stack_high;
    yield_now();
  });
  loop.run();
  loop.spawn([&] { second = current_fiber()->stack_high; });
  loop.run();
  EXPECT_EQ(first, second);
}

TEST(Stacks, EveryFiberHasTheSizeItAskedFor) {
  Loop loop;
  std::vector<std::size_t> sizes;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1} << 20, std::size_t{40'000}}) {
    loop.spawn([&] { sizes.push_back(current_fiber()->stack().bytes()); }, bytes);
  }
  loop.run();
  EXPECT_EQ(sizes, (std::vector<std::size_t>{kDefaultStackBytes, std::size_t{1} << 20, 64 * 1024}));
}

// Fibers that all suspend before the first one ends, so each has a stack of its own.
void run_wave(Loop& loop, int fibers) {
  for (int i = 0; i < fibers; ++i) loop.spawn([] { yield_now(); });
  loop.run();
}

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

TEST(Stacks, OfAWaveAreThereWithoutPageFaultsForTheNextOne) {
  if (AIOFIBER_ASAN || AIOFIBER_TSAN) GTEST_SKIP() << "the sanitizer's own memory is touched too";
  Loop loop(SteadyClock::instance());
  constexpr int kFibers = 3000;
  run_wave(loop, kFibers);
  const long before = page_faults();
  for (int i = 0; i < 5; ++i) run_wave(loop, kFibers);
  EXPECT_LT(page_faults() - before, kFibers / 10);
  EXPECT_EQ(loop.scheduler().stacks().stacks_warm(), std::size_t{kFibers});
}

TEST(Stacks, OfAWaveGoBackOnceTheIdleTimeIsOver) {
  Loop loop;
  run_wave(loop, 200);
  loop.clock().burn(kDefaultStackIdleTime - 1);
  run_wave(loop, 1);
  EXPECT_EQ(loop.scheduler().stacks().stacks_warm(), 200u);
  loop.clock().burn(1);
  loop.spawn([&] {
    for (int i = 0; i < 4;
         ++i) {  // for each piece a pass, and the time that a loop with work leaves between them
      yield_now();
      loop.clock().burn(kTimeBetweenCoolings);
    }
  });
  loop.run();
  // The one that the last two had lately, and no other.
  EXPECT_EQ(loop.scheduler().stacks().stacks_warm(), 1u);
}

TEST(Stacks, GoBackWhileAVirtualClockNeitherWaitsForThemNorTakesThemForSomethingToDo) {
  Loop loop;
  run_wave(loop, 10);
  Nanoseconds woken = 0;
  loop.spawn([&] {
    Parker parker;
    parker.park(AIOFIBER_WAIT_SLEEP, 0, kDefaultStackIdleTime / 2);
    woken = loop.clock().now();
  });
  loop.run();
  EXPECT_EQ(woken, kDefaultStackIdleTime / 2);
  loop.run_until_stuck();
  EXPECT_EQ(loop.clock().now(), kDefaultStackIdleTime / 2);
}

// Time passes only where the loop sleeps; remembers until when it wanted to.
class SleepLog final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return now_; }
  void wait_until(Nanoseconds deadline, Reactor& reactor) override {
    if (reactor.poll(0) > 0) return;
    if (deadline == kForever) throw Deadlock();
    sleeps.push_back(deadline);
    now_ = std::max(now_, deadline);
  }
  std::vector<Nanoseconds> sleeps;

 private:
  Nanoseconds now_ = 0;
};

TEST(Stacks, WakeASleepingLoopWhenTheirTimeIsOverAndThenNoMore) {
  SleepLog clock;
  Loop loop(clock);
  run_wave(loop, 200);
  int before_endless_sleep = 0;
  loop.scheduler().set_before_endless_sleep([](void* count) { ++*static_cast<int*>(count); },
                                            &before_endless_sleep);
  loop.run_until_stuck();
  EXPECT_EQ(loop.scheduler().stacks().stacks_warm(), 0u);
  // Once for the first piece; for the others it did not sleep.
  ASSERT_FALSE(clock.sleeps.empty());
  EXPECT_EQ(clock.now(), kDefaultStackIdleTime);
  EXPECT_EQ(clock.sleeps.front(), kDefaultStackIdleTime);
  EXPECT_LE(clock.sleeps.size(), 200 / StackPool::kPieceStacks + 1);
  EXPECT_EQ(before_endless_sleep, 1);
}

// With work waiting, a piece a millisecond at most.
TEST(Stacks, LetABusyLoopWorkBetweenThePieces) {
  Loop loop;
  run_wave(loop, 500);
  loop.clock().burn(kDefaultStackIdleTime);
  std::vector<std::size_t> warm;
  loop.spawn([&] {
    for (int i = 0; i < 20; ++i) {
      warm.push_back(loop.scheduler().stacks().stacks_warm());
      loop.clock().burn(kTimeBetweenCoolings / 2);
      yield_now();
    }
  });
  loop.run();
  for (std::size_t i = 2; i < warm.size(); ++i)
    EXPECT_LE(warm[i - 2] - warm[i], StackPool::kPieceStacks) << i;
  EXPECT_LT(warm.back(), 64u);
}

struct FailCall final : FaultPlan {
  explicit FailCall(std::string name) : call_name(std::move(name)) { current_fault_plan = this; }
  ~FailCall() override { current_fault_plan = nullptr; }
  int fail(const char* call) noexcept override { return call_name == call ? ENOMEM : 0; }
  std::string call_name;
};

TEST(Stacks, AFiberWithoutAStackIsToldWhyAndTheNextOneWorks) {
  Loop loop;
  bool ran = false;
  loop.spawn([&] { ran = true; });
  {
    FailCall plan("mmap");
    loop.run();
  }
  EXPECT_FALSE(ran);
  ASSERT_EQ(loop.failures.size(), 1u);
  EXPECT_NE(loop.failures[0].find("cannot reserve address space"), std::string::npos);
  loop.spawn([&] { ran = true; });
  loop.run();
  EXPECT_TRUE(ran);
}

// ---- Exceptions -------------------------------------------------------------------------------------------

TEST(Exceptions, AFiberSuspendedInACatchBlockRethrowsItsOwn) {
  Loop loop;
  Log log;
  for (const char* name : {"a", "b", "c"}) {
    loop.spawn([&log, name] {
      try {
        try {
          throw std::runtime_error(name);
        } catch (...) {
          yield_now();
          yield_now();
          throw;
        }
      } catch (const std::runtime_error& error) {
        log.emplace_back(error.what());
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
}

TEST(Exceptions, AFreshFiberOnATakenOverStackHasNone) {
  Loop loop;
  int uncaught = -1;
  bool has_current = true;
  loop.spawn([&] {
    loop.spawn([&] {
      uncaught = std::uncaught_exceptions();
      has_current = std::current_exception() != nullptr;
    });
    try {
      throw 1;
    } catch (int) {
      yield_now();
    }
  });
  loop.run();
  EXPECT_EQ(uncaught, 0);
  EXPECT_FALSE(has_current);
}

TEST(Exceptions, TheLoopsOwnAreUntouchedByItsFibers) {
  Loop loop;
  for (int i = 0; i < 2; ++i) {
    loop.spawn([] {
      try {
        throw std::runtime_error("fiber");
      } catch (...) {
        yield_now();
      }
    });
  }
  std::string after;
  try {
    throw std::logic_error("main");
  } catch (...) {
    loop.run();
    try {
      throw;
    } catch (const std::exception& error) {
      after = error.what();
    }
  }
  EXPECT_EQ(after, "main");
}

TEST(Exceptions, AFiberMaySuspendInADestructorDuringUnwinding) {
  struct Yields {
    ~Yields() { yield_now(); }
  };
  Loop loop;
  Log log;
  for (const char* name : {"a", "b"}) {
    loop.spawn([&log, name] {
      try {
        const Yields yields;
        throw std::runtime_error(name);
      } catch (const std::runtime_error& error) {
        log.emplace_back(error.what());
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b"}));
}

// ---- Descriptors ------------------------------------------------------------------------------------------

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(fds_.data(), O_NONBLOCK | O_CLOEXEC), 0); }
  ~Pipe() {
    for (const int fd : fds_) {
      if (fd >= 0) ::close(fd);
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reader() const { return fds_[0]; }
  int writer() const { return fds_[1]; }
  void put(char c) { EXPECT_EQ(::write(fds_[1], &c, 1), 1); }
  char take() {
    char c = '\0';
    EXPECT_EQ(::read(fds_[0], &c, 1), 1);
    return c;
  }

 private:
  std::array<int, 2> fds_{-1, -1};
};

TEST(FdWait, WakesTheReaderOfAPipe) {
  Loop loop(SteadyClock::instance());
  Pipe pipe;
  Log log;
  loop.spawn([&] {
    EXPECT_TRUE(fd_wait(pipe.reader(), kReadable).ready());
    log.push_back(std::string(1, pipe.take()));
    EXPECT_EQ(fd_wait(pipe.reader(), kReadable).events, kReadable);
    log.push_back(std::string(1, pipe.take()));
  });
  loop.spawn([&] {
    EXPECT_EQ(fd_wait(pipe.writer(), kWritable).events, kWritable);
    log.emplace_back("writable");
    pipe.put('x');
    while (log.size() < 2) yield_now();
    pipe.put('y');
  });
  loop.run();
  EXPECT_EQ(log, (Log{"writable", "x", "y"}));
}

TEST(FdWait, TellsEveryWaiterOfADescriptor) {
  Loop loop(SteadyClock::instance());
  Pipe pipe;
  int told = 0;
  for (int i = 0; i < 3; ++i) {
    loop.spawn([&] {
      if (fd_wait(pipe.reader(), kReadable).ready()) ++told;
    });
  }
  loop.spawn([&] { pipe.put('x'); });
  loop.run();
  EXPECT_EQ(told, 3);
}

TEST(FdWait, TimesOutAtItsDeadline) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  loop.spawn([&] { result = fd_wait(pipe.reader(), kReadable, 7'000'000'000); });
  loop.run();
  EXPECT_TRUE(result.timed_out);
  EXPECT_FALSE(result.ready());
  EXPECT_EQ(loop.clock().now(), 7'000'000'000);
}

TEST(FdWait, ATimeoutOfZeroLooksOnce) {
  Loop loop;
  Pipe empty;
  Pipe full;
  full.put('x');
  FdWaitResult of_empty;
  FdWaitResult of_full;
  loop.spawn([&] { of_empty = fd_wait(empty.reader(), kReadable, 0); });
  loop.spawn([&] { of_full = fd_wait(full.reader(), kReadable, 0); });
  loop.run();
  EXPECT_TRUE(of_empty.timed_out);
  EXPECT_TRUE(of_full.ready());
  EXPECT_FALSE(of_full.timed_out);
}

TEST(FdWait, IsInterrupted) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  Fiber& reader = loop.spawn([&] { result = fd_wait(pipe.reader(), kReadable); });
  loop.spawn([&] { EXPECT_TRUE(reader.parker->interrupt()); });
  loop.run();
  EXPECT_TRUE(result.interrupted);
  EXPECT_FALSE(result.ready());
}

TEST(FdWait, IsToldOfAClose) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  std::size_t woken = 0;
  loop.spawn([&] { result = fd_wait(pipe.reader(), kReadable); });
  loop.spawn([&] { woken = fd_closing(pipe.reader()); });
  loop.run();
  EXPECT_EQ(woken, 1u);
  EXPECT_EQ(result.events, kClosed);
  EXPECT_FALSE(result.ready());
}

TEST(FdWait, RefusesADescriptorThatIsNotOpen) {
  Loop loop;
  int error = 0;
  loop.spawn([&] {
    try {
      fd_wait(-1, kReadable);
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
  });
  loop.run();
  EXPECT_EQ(error, EBADF);
}

// Nobody reports closes here: the number that comes again belongs to another pipe.
TEST(FdWait, FollowsANumberToItsNewFile) {
  Loop loop(SteadyClock::instance());
  bool ready = false;
  loop.spawn([&] {
    int first_number = -1;
    {
      Pipe first;
      first_number = first.reader();
      first.put('x');
      EXPECT_TRUE(fd_wait(first.reader(), kReadable).ready());
    }
    Pipe second;
    EXPECT_EQ(second.reader(), first_number);
    second.put('y');
    ready = fd_wait(second.reader(), kReadable, 5'000'000'000).ready();
  });
  loop.run();
  EXPECT_TRUE(ready);
}

// ---- Other threads ----------------------------------------------------------------------------------------

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
    interrupted = std::exchange(current_fiber()->interrupted, false);
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

// ---- Closing ----------------------------------------------------------------------------------------------

struct SetsOnDestruction {
  bool& flag;
  ~SetsOnDestruction() { flag = true; }
};

TEST(Unwind, RunsTheDestructorsOfASuspendedFiber) {
  Loop loop;
  bool destroyed = false;
  bool went_on = false;
  Fiber& fiber = loop.spawn([&] {
    const SetsOnDestruction guard{destroyed};
    sleep_until_woken();
    went_on = true;
  });
  loop.run_until_stuck();
  EXPECT_FALSE(destroyed);
  EXPECT_TRUE(loop.unwind(fiber));
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(went_on);
}

TEST(Unwind, EndsARuntimeWaitAsInterrupted) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  Fiber& fiber = loop.spawn([&] {
    result = fd_wait(pipe.reader(), kReadable);
    if (current_fiber()->unwinding) throw ForcedUnwind();
  });
  loop.run_until_stuck();
  EXPECT_TRUE(loop.unwind(fiber));
  EXPECT_TRUE(result.interrupted);
}

TEST(Unwind, LeavesTheCallersExceptionAlone) {
  Loop loop;
  Fiber& fiber = loop.spawn([] {
    try {
      throw std::runtime_error("fiber");
    } catch (...) {
      sleep_until_woken();
    }
  });
  loop.run_until_stuck();
  std::string message;
  try {
    throw std::runtime_error("closing");
  } catch (...) {
    EXPECT_TRUE(loop.unwind(fiber));
    try {
      throw;
    } catch (const std::exception& error) {
      message = error.what();
    }
  }
  EXPECT_EQ(message, "closing");
}

AIOFIBER_NOINLINE void sleep_in_noexcept() noexcept {
  sleep_until_woken();
  asm volatile("");
}

TEST(Unwind, AbandonsAFiberThatNoExceptionCanLeave) {
  Loop loop;
  bool destroyed = false;
  Fiber& fiber = loop.spawn([&] {
    const SetsOnDestruction guard{destroyed};
    sleep_in_noexcept();
  });
  loop.run_until_stuck();
  EXPECT_FALSE(loop.unwind(fiber));
  EXPECT_FALSE(destroyed);
}

}  // namespace
}  // namespace aiofiber::runtime
