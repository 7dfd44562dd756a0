// SPDX-License-Identifier: Apache-2.0
//
// timerfd on the clocks of simulated machines, and random numbers from the seed.
//
// Labels: long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"
#include "support/descriptors.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

struct Timers : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node node = sim.node("node");
};

timespec spec(std::chrono::nanoseconds time) { return {time / 1s, (time % 1s).count()}; }
int set(const Fd& timer, std::chrono::nanoseconds value, std::chrono::nanoseconds interval = 0s,
        int flags = 0) {
  const itimerspec to{spec(interval), spec(value)};
  return ::timerfd_settime(timer.get(), flags, &to, nullptr);
}
Fd made(clockid_t clock = CLOCK_MONOTONIC, int flags = 0) { return Fd(::timerfd_create(clock, flags)); }
// How often it has expired; 0: the read failed.
std::uint64_t expiries(const Fd& timer) {
  std::uint64_t count = 0;
  return ::read(timer.get(), &count, sizeof count) == sizeof count ? count : 0;
}

TEST_F(Timers, ReadWaitsForTheExpiry) {
  std::uint64_t count = 0;
  Duration when;
  node.run([&] {
    const Fd timer = made();
    ASSERT_EQ(set(timer, 36h), 0);
    count = expiries(timer);
    when = sim.time();
    itimerspec left{{1, 1}, {1, 1}};
    EXPECT_EQ(::timerfd_gettime(timer.get(), &left), 0);
    EXPECT_EQ(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
  });
  sim.run_for(48h);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(when, Duration(36h));
}

TEST_F(Timers, IntervalCountsWhatWasNotRead) {
  std::vector<std::uint64_t> counts;
  std::vector<Duration> times;
  itimerspec left{};
  node.run([&] {
    const Fd timer = made();
    ASSERT_EQ(set(timer, 1500ms, 1s), 0);
    const auto read_one = [&] {
      counts.push_back(expiries(timer));
      times.push_back(sim.time());
    };
    read_one();
    read_one();
    ::sleep(10);
    ::timerfd_gettime(timer.get(), &left);
    read_one();
    read_one();
  });
  sim.run_for(1min);
  EXPECT_EQ(counts, (std::vector<std::uint64_t>{1, 1, 10, 1}));
  EXPECT_EQ(times, (std::vector<Duration>{1500ms, 2500ms, 12'500ms, 13'500ms}));
  EXPECT_EQ(left.it_interval.tv_sec, 1);
  EXPECT_EQ(left.it_value.tv_sec, 1);
}

TEST_F(Timers, ShortIntervalThatNobodyReadsCostsNothing) {
  std::uint64_t count = 0;
  node.run([&] {
    const Fd timer = made();
    ASSERT_EQ(set(timer, 1ns, 1ns), 0);
    ::sleep(86'400);
    count = expiries(timer);
  });
  sim.run_for(25h);
  EXPECT_EQ(count, 86'400'000'000'000u);
}

TEST_F(Timers, PollAndEpollWaitForIt) {
  std::vector<int> ready;
  std::vector<Duration> times;
  node.run([&] {
    const Fd timer = made(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const Fd epoll(::epoll_create1(0));
    epoll_event event{};
    event.events = EPOLLIN;
    ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event), 0);
    ASSERT_EQ(set(timer, 10s, 20s), 0);
    pollfd entry{timer.get(), POLLIN, 0};
    for (const int limit : {5000, 60'000}) {
      ready.push_back(::poll(&entry, 1, limit));
      times.push_back(sim.time());
    }
    EXPECT_EQ(expiries(timer), 1u);
    EXPECT_EQ(expiries(timer), 0u);
    EXPECT_EQ(errno, EAGAIN);
    ready.push_back(::epoll_wait(epoll.get(), &event, 1, -1));
    times.push_back(sim.time());
    EXPECT_EQ(expiries(timer), 1u);
    ASSERT_EQ(set(timer, 0s), 0);
    ready.push_back(::epoll_wait(epoll.get(), &event, 1, 100'000));
  });
  sim.run_for(1h);
  EXPECT_EQ(ready, (std::vector<int>{0, 1, 1, 0}));
  EXPECT_EQ(times, (std::vector<Duration>{5s, 10s, 30s}));
}

TEST_F(Timers, SettingItAgainForgetsWhatWasNotRead) {
  std::uint64_t count = 0;
  Duration when;
  itimerspec before{};
  node.run([&] {
    const Fd timer = made();
    ASSERT_EQ(set(timer, 1s, 7s), 0);
    ::sleep(3);
    const itimerspec to{{0, 0}, {10, 0}};
    ASSERT_EQ(::timerfd_settime(timer.get(), 0, &to, &before), 0);
    const Fd copy(::dup(timer.get()));
    count = expiries(copy);
    when = sim.time();
  });
  sim.run_for(1min);
  EXPECT_EQ(before.it_value.tv_sec, 5);
  EXPECT_EQ(before.it_interval.tv_sec, 7);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(when, Duration(13s));
}

TEST_F(Timers, FollowTheClocksOfTheirMachine) {
  Duration absolute;
  Duration relative;
  Duration monotonic;
  node.set_clock_rate(2.0);
  const auto wait_for = [&](clockid_t clock, std::chrono::nanoseconds value, int flags, Duration& when) {
    node.run([this, clock, value, flags, &when] {
      const Fd timer = made(clock);
      ASSERT_EQ(set(timer, value, 0s, flags), 0);
      EXPECT_EQ(expiries(timer), 1u);
      when = sim.time();
    });
  };
  wait_for(CLOCK_REALTIME, 1'767'225'600s + 100s, TFD_TIMER_ABSTIME, absolute);
  wait_for(CLOCK_REALTIME, 100s, 0, relative);
  wait_for(CLOCK_MONOTONIC, 100s, 0, monotonic);
  sim.at(10s, [&] { node.set_clock(50s); });
  sim.run_for(1h);
  EXPECT_EQ(absolute, Duration(25s));  // the clock shows +20 s, then jumps to +70 s
  EXPECT_EQ(relative, Duration(50s));
  EXPECT_EQ(monotonic, Duration(50s));
}

TEST_F(Timers, SetWallClockCancelsOnRequest) {
  int error = 0;
  Duration when;
  std::uint64_t then = 0;
  node.run([&] {
    const Fd timer = made(CLOCK_REALTIME);
    ASSERT_EQ(set(timer, 1'767'225'600s + 100s, 0s, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET), 0);
    std::uint64_t count;
    error = ::read(timer.get(), &count, sizeof count) < 0 ? errno : 0;
    when = sim.time();
    then = expiries(timer);
  });
  sim.at(10s, [&] { node.set_clock(5s); });
  sim.run_for(1h);
  EXPECT_EQ(error, ECANCELED);
  EXPECT_EQ(when, Duration(10s));
  EXPECT_EQ(then, 1u);
}

TEST_F(Timers, BadCallsFailAsOnLinux) {
  node.run([] {
    EXPECT_EQ(::timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(::timerfd_create(CLOCK_MONOTONIC, 1), -1);
    EXPECT_EQ(errno, EINVAL);
    const Fd timer = made();
    const itimerspec bad{{0, 0}, {0, 1'000'000'000}};
    EXPECT_EQ(::timerfd_settime(timer.get(), 0, &bad, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(::write(timer.get(), "12345678", 8), -1);
    EXPECT_EQ(errno, EINVAL);
    const sockaddr_in to{};
    EXPECT_EQ(::connect(timer.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), -1);
    EXPECT_EQ(errno, ENOTSOCK);
    EXPECT_EQ(::listen(timer.get(), 1), -1);
    EXPECT_EQ(errno, ENOTSOCK);
    itimerspec now;
    const Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(::timerfd_gettime(socket.get(), &now), -1);
    EXPECT_EQ(errno, EINVAL);
  });
  sim.run_for(1s);
}

TEST_F(Timers, DeadProgramLeavesNoneOpen) {
  const std::size_t before = open_descriptors().size();
  node.run([] {
    ::timerfd_create(CLOCK_MONOTONIC, 0);  // forgotten
    const Fd timer = made();
    set(timer, 1h);
    expiries(timer);
  });
  sim.run_for(1s);
  node.kill();
  sim.run_for(2h);
  EXPECT_LE(open_descriptors().size(), before);
}

// ---- random numbers

std::string random_numbers(std::uint64_t seed, bool seeded) {
  Simulation sim({.seed = seed, .seed_random = seeded});
  std::string numbers;
  sim.node("a").run([&] {
    ::srand(1);
    ::srandom(1);
    numbers += std::to_string(::rand()) + " " + std::to_string(::random());
    unsigned bytes = 0;
    EXPECT_EQ(::getentropy(&bytes, sizeof bytes), 0);
    numbers += " " + std::to_string(bytes);
    for (const char* const path : {"/dev/urandom", "/dev/random"}) {
      const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
      std::string from_file(100'000, '\0');
      EXPECT_EQ(::read(file.get(), from_file.data(), from_file.size()), 100'000);
      numbers += from_file;
    }
  });
  sim.run_for(1s);
  return numbers;
}

TEST(SeededRandom, EachSourceFollowsTheSeedOnRequest) {
  EXPECT_EQ(random_numbers(1, true), random_numbers(1, true));
  EXPECT_NE(random_numbers(1, true), random_numbers(2, true));
  EXPECT_NE(random_numbers(1, false), random_numbers(1, false));
}

}  // namespace
}  // namespace aiofiber::testing::test
