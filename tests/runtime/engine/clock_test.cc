// SPDX-License-Identifier: Apache-2.0
//
// The virtual clock: when its time jumps, and what it waits for before.
//
// The reactor's poll ends at once, with nothing or with an event, as after a signal or a call of another
// thread.
#include <aiofiber/runtime/engine/clock.h>
#include <aiofiber/runtime/engine/reactor.h>

#include <gtest/gtest.h>

#include <vector>

namespace aiofiber::runtime {
namespace {

constexpr Nanoseconds kHour = 3'600'000'000'000;

class ScriptedReactor final : public Reactor {
 public:
  // Polls end early, with nothing, until the one that finds an event.
  explicit ScriptedReactor(std::size_t event_at) : event_at_(event_at) {}
  int poll(Nanoseconds timeout) override {
    timeouts.push_back(timeout);
    return timeouts.size() > event_at_ ? 1 : 0;
  }
  void wake() noexcept override {}
  void watch_signal(SignalWaiter&) override {}
  void unwatch_signal(SignalWaiter&) noexcept override {}
  std::vector<Nanoseconds> timeouts;

 protected:
  void watch(int, unsigned) override {}

 private:
  std::size_t event_at_;
};

TEST(VirtualClock, JumpsToTheDeadline) {
  VirtualClock clock;
  ScriptedReactor reactor(100);
  clock.wait_until(kHour, reactor);
  EXPECT_EQ(clock.now(), kHour);
  EXPECT_EQ(reactor.timeouts, std::vector<Nanoseconds>{0});
}

TEST(VirtualClock, FindsADeadlockWhereNothingIsScheduled) {
  VirtualClock clock;
  ScriptedReactor reactor(100);
  EXPECT_THROW(clock.wait_until(kForever, reactor), Deadlock);
}

TEST(VirtualClockThatMayBlock, TakesASignalForNoDeadlock) {
  VirtualClock clock;
  clock.set_may_block(true);
  ScriptedReactor reactor(20);
  clock.wait_until(kForever, reactor);
  EXPECT_EQ(reactor.timeouts.size(), 21u);
  EXPECT_EQ(clock.now(), 0);
}

TEST(VirtualClockThatMayBlock, DoesNotJumpBecauseOfASignalWhileAnAnswerIsDue) {
  VirtualClock clock;
  clock.set_may_block(true);
  clock.expect_answers(1);
  ScriptedReactor reactor(20);
  clock.wait_until(kHour, reactor);
  EXPECT_EQ(reactor.timeouts.size(), 21u);
  EXPECT_EQ(clock.now(), 0);
}

// After an early end it goes on with what is left, so many signals do not make the wait longer.
TEST(VirtualClockThatMayBlock, WaitsNoLongerThanItsSliceWhateverEndsItsPolls) {
  VirtualClock clock;
  clock.set_may_block(true);
  ScriptedReactor reactor(SIZE_MAX);
  clock.wait_until(kHour, reactor);
  EXPECT_EQ(clock.now(), kHour);
  for (std::size_t i = 2; i < reactor.timeouts.size(); ++i)
    EXPECT_LE(reactor.timeouts[i], reactor.timeouts[i - 1]);
}

TEST(VirtualClockThatMayBlock, WaitsNoLongerThanTheJumpIsLong) {
  VirtualClock clock;
  clock.set_may_block(true);
  clock.expect_answers(1);
  ScriptedReactor reactor(SIZE_MAX);
  clock.wait_until(1000, reactor);
  EXPECT_EQ(clock.now(), 1000);
  for (const Nanoseconds timeout : reactor.timeouts) EXPECT_LE(timeout, 1000);
}

}  // namespace
}  // namespace aiofiber::runtime
