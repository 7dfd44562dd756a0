// SPDX-License-Identifier: Apache-2.0
//
// Stacks and fibers: who gets which stack, and when idle ones give their memory back.
// Labels: threads
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "support/fiber_loop.h"

namespace aiofiber::runtime {
namespace {

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

}  // namespace
}  // namespace aiofiber::runtime
