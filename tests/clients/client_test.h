// SPDX-License-Identifier: Apache-2.0
//
// Common code for the tests of clients: one loop on one thread, with many tasks.
//
// Real servers and real time: the tests assert upper bounds that hold on a machine with two busy cores.
#pragma once

#include <aiofiber/asyncio.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace aiofiber::clients_test {

using namespace std::chrono_literals;

struct Concurrently {
  int succeeded = 0;
  double seconds = 0;
};

// Calls fn(0) ... fn(count - 1), each in a task of its own, all on this thread. An exception fails the test.
inline Concurrently concurrently(int count, const std::function<bool(int)>& fn) {
  Concurrently outcome;
  const auto start = std::chrono::steady_clock::now();
  asyncio::run([&] {
    std::vector<asyncio::Task<void>> tasks;
    for (int i = 0; i < count; ++i) {
      tasks.push_back(asyncio::create_task([&, i] {
        if (fn(i)) ++outcome.succeeded;
      }));
    }
    asyncio::await(asyncio::gather(tasks));
  });
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("    %d of %d in %.3f s\n", outcome.succeeded, count, outcome.seconds);
  return outcome;
}

// How long fn() takes, in seconds.
template <class Fn>
double seconds_of(Fn&& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Many calls that take a second each must overlap: one after the other they would take as many seconds as
// there are calls. A quarter of that is enough for a machine that is busy with other things.
#define EXPECT_OVERLAPPING(count, outcome)       \
  do {                                           \
    const Concurrently outcome_ = (outcome);     \
    EXPECT_EQ(outcome_.succeeded, (count));      \
    EXPECT_GT(outcome_.seconds, 0.95);           \
    EXPECT_LT(outcome_.seconds, 0.25 * (count)); \
  } while (false)

#define EXPECT_ALL(count, call) EXPECT_EQ((call).succeeded, (count))

// The server of a test program: started by the first test that wants it, stopped at the program's end.
template <class ServerType>
ServerType& server() {
  static ServerType instance;
  static const bool started = (instance.start(), true);
  static_cast<void>(started);
  return instance;
}

// Starts the server outside the loop: a task that suspended in the initialisation above would be met there by
// the next.
template <class ServerType>
class ClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { server<ServerType>(); }
};

}  // namespace aiofiber::clients_test
