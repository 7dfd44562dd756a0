// SPDX-License-Identifier: Apache-2.0
//
// What a socket costs does not grow with the number of sockets.
//
// Counted: how many sockets a look-up looks at. And measured, as a ratio within one run: what each of many
// connections costs that are open at once, compared with each of few. The least of three runs counts, and
// only the thread's own time, so other work on the machine does not matter.
//
// Labels: slow serial
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"
#include "simulation/bound_sockets.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;
using detail::BoundSockets;
using detail::Endpoint;
using detail::Ip;

constexpr double kMostGrowth = 2;

// Sockets of each kind that look each other up: how many each look-up has to look at.
double looked_at(std::uint16_t count) {
  BoundSockets sockets;
  std::vector<std::unique_ptr<Endpoint>> made;
  const auto add = [&](Endpoint::Kind kind, std::uint16_t number, bool is_unix) {
    made.push_back(std::make_unique<Endpoint>());
    made.back()->kind = kind;
    made.back()->local = {is_unix, Ip::v4(0), number, is_unix ? "/run/" + std::to_string(number) : ""};
    sockets.add(0, *made.back());
  };
  for (std::uint16_t i = 0; i < count; ++i) {
    add(Endpoint::Kind::kStream, i, false);
    add(Endpoint::Kind::kDatagram, i, false);
    add(Endpoint::Kind::kStream, i, true);
  }
  for (std::uint16_t i = 0; i < count; ++i) {
    EXPECT_EQ(sockets.at_port(0, Endpoint::Kind::kStream, i).size(), 1u);
    EXPECT_EQ(sockets.at_port(0, Endpoint::Kind::kDatagram, i).size(), 1u);
    EXPECT_EQ(sockets.at_port(1, Endpoint::Kind::kStream, i).size(), 0u);
    EXPECT_NE(sockets.at_path(0, "/run/" + std::to_string(i)), nullptr);
  }
  const double per_socket = static_cast<double>(sockets.looked_at()) / count;
  for (const auto& socket : made) sockets.remove(0, *socket);
  EXPECT_TRUE(sockets.at_port(0, Endpoint::Kind::kStream, 7).empty());
  EXPECT_EQ(sockets.at_path(0, "/run/7"), nullptr);
  return per_socket;
}

TEST(ManySockets, LookUpLooksAtNoMoreSocketsAmongMany) {
  EXPECT_LE(looked_at(10'000), kMostGrowth * looked_at(1'000));
}

double own_seconds() {
  timespec time{};
  ::syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &time);  // not the simulated clock
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// What each of so many connections costs that are open at once: connect, accept, a byte.
double seconds_each(int count) {
  Simulation sim({.seed = 1});
  int answered = 0;
  sim.node("server").run([count] {
    const Fd listener = listen_on(7);
    std::vector<Fd> open;
    for (int i = 0; i < count; ++i) {
      open.emplace_back(::accept(listener.get(), nullptr, nullptr));
      ::send(open.back().get(), "x", 1, 0);
    }
    ::sleep(3600);
  });
  sim.node("client").run([&] {
    std::vector<Fd> open;
    for (int i = 0; i < count; ++i) {
      open.push_back(connect_to("server", 7));
      char byte;
      if (::recv(open.back().get(), &byte, 1, 0) == 1) ++answered;
    }
    ::sleep(3600);
  });
  const double begin = own_seconds();
  sim.run_for(10min);
  const double end = own_seconds();
  EXPECT_EQ(answered, count);
  return (end - begin) / count;
}
double least_seconds_each(int count) {
  double least = seconds_each(count);
  for (int i = 0; i < 2; ++i) least = std::min(least, seconds_each(count));
  return least;
}

TEST(ManySockets, OpenConnectionCostsAsMuchAmongMany) {
  constexpr rlim_t kMost = 10'000;
  constexpr rlim_t kEach = 4;  // descriptors: two ends, a pair each
  constexpr rlim_t kOthers = 1'000;
  rlimit limits{};
  ::getrlimit(RLIMIT_NOFILE, &limits);
  if (limits.rlim_max < kMost / 10 * kEach + kOthers)
    GTEST_SKIP() << "too few descriptors: raise the hard limit (ulimit -Hn)";
  const rlimit wanted{std::min(limits.rlim_max, kMost * kEach + kOthers), limits.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &wanted), 0);
  const int many_connections = static_cast<int>((wanted.rlim_cur - kOthers) / kEach);
  const int few_connections = many_connections / 10;
  const double few = least_seconds_each(few_connections);
  const double many = least_seconds_each(many_connections);
  std::printf("each of few: %.1f us, each of many: %.1f us\n", 1e6 * few, 1e6 * many);
  EXPECT_LE(many, kMostGrowth * few);
}

}  // namespace
}  // namespace aiofiber::testing::test
