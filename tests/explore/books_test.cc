// SPDX-License-Identifier: Apache-2.0
//
// Books, and the listener that fails a test which leaves something behind. The suite Leaves does that on
// purpose, one thing in each test; it runs only in a child process, whose output is read.
// Labels: long
#include "aiofiber/books.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "aiofiber/asyncio.h"
#include "aiofiber/gtest.h"
#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// A loop that lives longer than the tests. It runs once, so that it has all that it ever needs.
testing::TestLoop& living() {
  static testing::TestLoop& loop = *[] {
    auto made = std::make_unique<testing::TestLoop>();
    made->run_until_complete([] { await(sleep(1ms)); });
    return made.release();
  }();
  return loop;
}

const bool books_are_kept = (testing::keep_books(&living()), true);

// What the tests of Leaves leave, until the process ends.
template <class T>
T& kept(T value) {
  return *new T(std::move(value));
}

class DISABLED_Leaves : public ::testing::Test {};

TEST_F(DISABLED_Leaves, Nothing) {
  testing::TestLoop loop;
  loop.run_until_complete([] { await(gather([] { await(sleep(1h)); }, [] { await(sleep(2h)); })); });
  loop.close();
}
TEST_F(DISABLED_Leaves, ATask) {
  living().create_task([] { await(sleep(1h)); }).detach();
}
TEST_F(DISABLED_Leaves, ALoop) { kept(std::make_unique<testing::TestLoop>()); }
TEST_F(DISABLED_Leaves, AFutureOfAClosedLoop) {
  testing::TestLoop loop;
  kept(loop.create_future<>());
  loop.close();
}
TEST_F(DISABLED_Leaves, AFuture) { kept(living().create_future<>()); }
TEST_F(DISABLED_Leaves, AHandle) {
  living().call_soon([] {});
}
TEST_F(DISABLED_Leaves, ATimer) {
  living().call_later(1h, [] {});
}
TEST_F(DISABLED_Leaves, ADescriptor) { EXPECT_GE(::dup(0), 0); }
TEST_F(DISABLED_Leaves, AThread) {
  kept(std::thread([] {
    for (;;) ::pause();
  }));
}
TEST_F(DISABLED_Leaves, AStack) {
  // A task that cannot be unwound keeps its stack for good.
  set_log_sink([](LogLevel, std::string_view) {});
  testing::TestLoop loop;
  loop.create_task([]() noexcept { await(sleep(1h)); }).detach();
  loop.run_until_complete([] { await(sleep(0s)); });
  loop.close();
}
TEST_F(DISABLED_Leaves, NothingButAThreadOfThePool) {
  asyncio::run([] { await(to_thread([] {})); });
}

// The output of this program for one of those tests.
std::string output_of(const std::string& name) {
  const std::string command = "exec /proc/" + std::to_string(::getpid()) +
                              "/exe --gtest_also_run_disabled_tests --gtest_filter=DISABLED_Leaves." + name;
  std::FILE* const child = ::popen(command.c_str(), "re");
  if (child == nullptr) return "no child";
  std::string output;
  for (int c = std::fgetc(child); c != EOF; c = std::fgetc(child)) output += static_cast<char>(c);
  ::pclose(child);
  return output;
}

TEST(BooksListener, FailsATestThatLeavesSomething) {
  const struct {
    const char* test;
    const char* left;
  } expected[] = {
      {"ATask", "left behind: 1 fiber, "},
      {"ALoop", "left behind: 1 loop (open, or referred to by a future or task), "},
      {"AFutureOfAClosedLoop", "left behind: 1 loop (open, or referred to by a future or task)"},
      {"AFuture", "left behind: 1 future or task of the loop\n"},
      {"AHandle", "left behind: 1 callback that is ready\n"},
      {"ATimer", "left behind: 1 timer\n"},
      {"ADescriptor", "left behind: 1 descriptor\n"},
      {"AThread", "left behind: 1 thread\n"},
      {"AStack", " bytes of stacks\n"},
  };
  for (const auto& [test, left] : expected) {
    const std::string output = output_of(test);
    EXPECT_NE(output.find(left), std::string::npos) << test << ": " << output;
    EXPECT_NE(output.find(std::string("[  FAILED  ] DISABLED_Leaves.") + test), std::string::npos) << output;
  }
}

TEST(BooksListener, AcceptsATestThatLeavesNothing) {
  for (const char* const test : {"Nothing", "NothingButAThreadOfThePool"}) {
    const std::string output = output_of(test);
    EXPECT_NE(output.find(std::string("[       OK ] DISABLED_Leaves.") + test), std::string::npos) << output;
  }
}

TEST(Books, BalanceAgain) {
  const testing::Books before = testing::Books::now(&living());
  {
    const Task<> task = living().create_task([] { await(sleep(1s)); });
    TimerHandle timer = living().call_later(1s, [] {});
    EXPECT_NE(testing::Books::now(&living()).added_since(before), "");
    timer.cancel();
    living().run_until_complete(task);
  }
  EXPECT_EQ(testing::Books::now(&living()).added_since(before), "");
}

}  // namespace
}  // namespace aiofiber
