// SPDX-License-Identifier: Apache-2.0
//
// The timer heap against a sorted set with the same timers. For any order of starts, cancellations and
// expiries, both give the same next deadline and the same order of expiry.
#include <aiofiber/runtime/engine/choice.h>
#include <aiofiber/runtime/engine/timer_heap.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <set>
#include <utility>
#include <vector>

namespace aiofiber::runtime {
namespace {

struct TestTimer : Timer {
  TestTimer() : Timer(Kind::kInternal) {}
  std::uint64_t started = 0;  // order of start
};

TEST(TimerHeap, IsEmptyAtFirst) {
  TimerHeap heap;
  EXPECT_TRUE(heap.empty());
  EXPECT_EQ(heap.next_deadline(), kForever);
  EXPECT_EQ(heap.pop_due(kForever), nullptr);
}

TEST(TimerHeap, ATimerIsDueAtItsDeadlineAndNotBefore) {
  TimerHeap heap;
  TestTimer timer;
  heap.start(timer, 10);
  EXPECT_EQ(heap.pop_due(9), nullptr);
  EXPECT_TRUE(timer.armed());
  EXPECT_EQ(heap.pop_due(10), &timer);
  EXPECT_FALSE(timer.armed());
}

TEST(TimerHeap, EqualDeadlinesExpireInTheOrderOfTheirStart) {
  TimerHeap heap;
  std::deque<TestTimer> timers(100);
  std::vector<Timer*> expected;
  for (TestTimer& timer : timers) {
    heap.start(timer, 5);
    expected.push_back(&timer);
  }
  // Cancel and start again: it goes to the end.
  for (const std::size_t i : {std::size_t{0}, std::size_t{50}, std::size_t{99}}) {
    heap.cancel(timers[i]);
    heap.start(timers[i], 5);
    std::erase(expected, &timers[i]);
    expected.push_back(&timers[i]);
  }
  std::vector<Timer*> expired;
  while (Timer* timer = heap.pop_due(5)) expired.push_back(timer);
  EXPECT_EQ(expired, expected);
}

TEST(TimerHeap, CancellingAnIdleTimerDoesNothing) {
  TimerHeap heap;
  TestTimer idle;
  TestTimer armed;
  heap.start(armed, 1);
  heap.cancel(idle);
  heap.cancel(armed);
  heap.cancel(armed);
  EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, AgreesWithASortedSetUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SeededChooser random(seed);
    TimerHeap heap;
    std::deque<TestTimer> timers(200);
    const auto less = [](const TestTimer* a, const TestTimer* b) {
      return std::pair(a->deadline, a->started) < std::pair(b->deadline, b->started);
    };
    std::set<TestTimer*, decltype(less)> reference(less);
    std::uint64_t starts = 0;
    for (int step = 0; step < 5000; ++step) {
      TestTimer& timer = timers[random.choose(timers.size())];
      if (!timer.armed()) {
        // Few deadlines, so that many are equal.
        const auto deadline = static_cast<Nanoseconds>(random.choose(50));
        timer.started = ++starts;
        heap.start(timer, deadline);
        reference.insert(&timer);
      } else if (random.choose(3) == 0) {
        const auto now = static_cast<Nanoseconds>(random.choose(20));
        TestTimer* expected = nullptr;
        if (!reference.empty() && (*reference.begin())->deadline <= now) expected = *reference.begin();
        ASSERT_EQ(heap.pop_due(now), expected);
        if (expected != nullptr) reference.erase(expected);
      } else {
        reference.erase(&timer);
        heap.cancel(timer);
      }
      ASSERT_EQ(heap.size(), reference.size());
      ASSERT_EQ(heap.next_deadline(), reference.empty() ? kForever : (*reference.begin())->deadline);
    }
    while (!reference.empty()) {
      ASSERT_EQ(heap.pop_due(kForever), *reference.begin());
      reference.erase(reference.begin());
    }
    EXPECT_TRUE(heap.empty());
  }
}

}  // namespace
}  // namespace aiofiber::runtime
