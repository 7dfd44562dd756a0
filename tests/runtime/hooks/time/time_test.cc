// SPDX-License-Identifier: Apache-2.0
//
// Sleeping in a fiber: sleeps overlap, return the remaining time, and refuse the arguments that libc refuses.
// Real time, because the calls are libc's; virtual time is tested at the end.
#include <chrono>
#include <cstring>
#include <thread>

#include "aiofiber/runtime/engine/clock.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using namespace std::chrono_literals;

TEST(HookedSleep, OverlapsInAHundredFibers) {
  Fibers fibers;
  const double start = now_ms();
  int ended = 0;
  for (int i = 0; i < 100; ++i) {
    fibers.spawn([&ended, i] {
      const timespec duration{0, 50'000'000};
      switch (i % 4) {
        case 0:
          EXPECT_EQ(::usleep(50'000), 0);
          break;
        case 1:
          EXPECT_EQ(::nanosleep(&duration, nullptr), 0);
          break;
        case 2:
          EXPECT_EQ(::clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr), 0);
          break;
        default:
          std::this_thread::sleep_for(50ms);
      }
      ++ended;
    });
  }
  fibers.run();
  EXPECT_EQ(ended, 100);
  EXPECT_GE(now_ms() - start, 49);
  EXPECT_LT(now_ms() - start, 1000);  // one after the other: 5 s
}

TEST(HookedClockNanosleep, SleepsUntilAnAbsoluteTime) {
  Fibers fibers;
  fibers.spawn([] {
    for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
      timespec until;
      ::clock_gettime(clock, &until);
      EXPECT_EQ(::clock_nanosleep(clock, TIMER_ABSTIME, &until, nullptr), 0);  // past: at once
      until.tv_nsec += 10'000'000;
      if (until.tv_nsec >= 1'000'000'000) {
        until.tv_nsec -= 1'000'000'000;
        ++until.tv_sec;
      }
      const double start = now_ms();
      EXPECT_EQ(::clock_nanosleep(clock, TIMER_ABSTIME, &until, nullptr), 0);
      EXPECT_GE(now_ms() - start, 8);
    }
  });
  fibers.run();
}

TEST(HookedNanosleep, RefusesWhatLibcRefuses) {
  Fibers fibers;
  fibers.spawn([] {
    timespec duration{0, 1'000'000'000};
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::nanosleep(&duration, nullptr); }));
    duration = {-1, 0};
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::nanosleep(&duration, nullptr); }));
    EXPECT_EQ(::clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr), EINVAL);
  });
  fibers.run();
}

TEST(HookedNanosleep, TellsWhatWasLeftWhenInterrupted) {
  Fibers fibers;
  timespec left{};
  Outcome slept;
  unsigned seconds_left = 0;
  int error = 0;
  runtime::Fiber& sleeper = fibers.spawn([&] {
    const timespec duration{100, 0};
    slept = outcome_of([&] { return ::nanosleep(&duration, &left); });
    seconds_left = ::sleep(100);
    error = ::clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(sleeper));
  });
  fibers.run();
  EXPECT_FAILS_WITH(ECANCELED, slept);
  EXPECT_EQ(left.tv_sec, 99);
  EXPECT_EQ(seconds_left, 100u);
  EXPECT_EQ(error, ECANCELED);
}

// Legacy code that loops on an error for ever must not freeze the loop when its task is cancelled.
TEST(HookedNanosleep, LetsOthersRunThoughTheCallerLoopsOnTheError) {
  Fibers fibers;
  bool other_ran = false;
  long rounds = 0;
  runtime::Fiber& stubborn = fibers.spawn([&] {
    while (!other_ran && rounds < 1'000'000) {
      ::usleep(1'000'000);
      ++rounds;
    }
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(stubborn));
    sleep_ms(3);
    other_ran = true;
  });
  fibers.run();
  EXPECT_TRUE(other_ran);
  EXPECT_LT(rounds, 1'000'000);
}

TEST(HookedSleep, TakesVirtualTimeUnderAVirtualClock) {
  runtime::VirtualClock clock;
  const auto owner = runtime::make_scheduler(clock);
  runtime::Scheduler& scheduler = *owner;
  const double start = now_ms();
  struct Job {
    runtime::Scheduler& scheduler;
    runtime::Nanoseconds took = 0;
  } job{scheduler};
  runtime::Fiber& fiber = scheduler.create_fiber(
      [](runtime::Fiber& self) noexcept {
        auto& my_job = *static_cast<Job*>(self.owner);
        const runtime::Nanoseconds begin = my_job.scheduler.now();
        ::sleep(3600);
        my_job.took = my_job.scheduler.now() - begin;
        my_job.scheduler.stop();
      },
      &job, 0, 0);
  scheduler.make_ready(fiber);
  scheduler.run();
  EXPECT_EQ(job.took, 3600 * runtime::Nanoseconds{1'000'000'000});
  EXPECT_LT(now_ms() - start, 1000);
}

}  // namespace
}  // namespace aiofiber::hooks_test
