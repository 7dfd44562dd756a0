// SPDX-License-Identifier: Apache-2.0
//
// The watchdog over real loops.
// Labels: threads slow
// Real time: the watchdog must notice a thread that is blocked in real time. The tests check no upper limits.
#include "aiofiber/runtime/inspect/watchdog.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/parker.h"

namespace app {

namespace rt = aiofiber::runtime;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

std::mutex mutex;
std::vector<std::string> reports;

std::vector<std::string> take_reports() {
  const std::lock_guard lock(mutex);
  return std::exchange(reports, {});
}

constexpr rt::Nanoseconds kAllowed = 20'000'000;
// Where silence is tested: the system may take the processor away from the thread for a while.
constexpr rt::Nanoseconds kMuchAllowed = 250'000'000;

// Runs the body as a fiber named "suspect" of a watched scheduler.
template <class F>
std::vector<std::string> watch_over(F body, rt::Nanoseconds allowed = kAllowed) {
  take_reports();
  auto scheduler = rt::make_scheduler();
  rt::Fiber& fiber = scheduler->create_fiber(
      [](rt::Fiber& self) noexcept {
        (*static_cast<F*>(self.owner))();
        self.scheduler->stop();
      },
      &body, 0, 0);
  fiber.set_name("suspect");
  scheduler->make_ready(fiber);
  rt::watchdog::watch(*scheduler, allowed, [](const std::string& text) noexcept {
    const std::lock_guard lock(mutex);
    reports.push_back(text);
  });
  scheduler->run();
  rt::watchdog::unwatch(*scheduler);
  return take_reports();
}

bool reported() {
  const std::lock_guard lock(mutex);
  return !reports.empty();
}

__attribute__((noinline)) void compute() {
  const auto limit = Clock::now() + 10s;
  while (!reported() && Clock::now() < limit) asm volatile("");
  asm volatile("");
}

// Of this thread, however long that takes.
void use_processor(std::chrono::nanoseconds time) {
  const auto used = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto limit = used() + time;
  while (used() < limit) asm volatile("");
}

TEST(Watchdog, NamesTheTaskThatComputesAndItsStack) {
  const auto seen = watch_over([] { compute(); });
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(seen[0].starts_with("The event loop has been blocked for ")) << seen[0];
  EXPECT_NE(seen[0].find(" ms by task 'suspect'"), std::string::npos) << seen[0];
  EXPECT_NE(seen[0].find("in app::compute"), std::string::npos) << seen[0];
}

TEST(Watchdog, NamesTheSystemCallAndLetsItGoOn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::ptrdiff_t result = 0;
  const auto seen = watch_over([&] {
    const int timeout_ms = 200;
    pollfd none{-1, 0, 0};
    result = ::poll(&none, 1, timeout_ms);  // a signal would end it with EINTR
  });
  EXPECT_EQ(result, 0);
  ASSERT_FALSE(seen.empty());
  EXPECT_NE(seen[0].find("by task 'suspect' in poll()"), std::string::npos) << seen[0];
  close(ends[0]);
  close(ends[1]);
}

TEST(Watchdog, ReportsALongBlockAgainAfterTwiceTheTime) {
  const auto seen = watch_over([&] { use_processor(300ms); });
  EXPECT_GE(seen.size(), 2u);
  EXPECT_LE(seen.size(), 4u);  // 20, 40, 80, 160 ms
}

// The loop's thread shares its core with another one that the kernel prefers by far.
TEST(Watchdog, IsSilentWhileTheThreadWaitsForACore) {
  if (std::ifstream("/proc/self/schedstat").fail())
    GTEST_SKIP() << "this kernel does not tell how long a thread waited for a core";
  std::vector<std::string> seen;
  std::atomic<bool> done{false};
  const auto stay_on_one_core = [core = sched_getcpu()] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
  };
  std::thread other([&] {
    stay_on_one_core();
    while (!done.load(std::memory_order_relaxed)) asm volatile("");
  });
  std::thread loop([&] {
    stay_on_one_core();
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);
    seen = watch_over([] { use_processor(20ms); }, kMuchAllowed);
  });
  loop.join();
  done = true;
  other.join();
  EXPECT_TRUE(seen.empty()) << seen[0];
}

TEST(Watchdog, IsSilentWhileTheLoopSleeps) {
  const auto seen = watch_over(
      [] {
        rt::Parker parker;
        parker.park(AIOFIBER_WAIT_SLEEP, 0, rt::current_fiber()->scheduler->now() + 2 * kMuchAllowed);
      },
      kMuchAllowed);
  EXPECT_TRUE(seen.empty()) << seen[0];
}

TEST(Watchdog, IsSilentWhileTheLoopIsBusyWithManyShortSteps) {
  const auto seen = watch_over(
      [] {
        const auto limit = Clock::now() + 500ms;
        while (Clock::now() < limit) rt::yield_now();
      },
      kMuchAllowed);
  EXPECT_TRUE(seen.empty()) << seen[0];
}

}  // namespace app
