// SPDX-License-Identifier: Apache-2.0
//
// The search for shared state from the facade: reports go to the log, and coroutines are watched like fibers.
// Labels: slow
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace {

namespace aio = aiofiber;
using namespace std::chrono_literals;

int current_user = 0;

__attribute__((noinline)) void serve(int user) { current_user = user; }
__attribute__((noinline)) int user() { return current_user; }

class SharedStateOfTasks : public testing::Test {
 protected:
  SharedStateOfTasks() {
    aio::set_log_sink([this](aio::LogLevel level, std::string_view text) {
      EXPECT_EQ(level, aio::LogLevel::WARNING);
      reports_.emplace_back(text);
    });
    aio::detect_shared_state();
  }
  ~SharedStateOfTasks() override {
    aio::stop_detecting_shared_state();
    aio::set_log_sink({});
  }
  void expect_report() const {
    ASSERT_EQ(reports_.size(), 1u);
    EXPECT_EQ(
        reports_[0].find("Shared state: '(anonymous namespace)::current_user' in tasks_test.cc. task 'a' "
                         "wrote it and was suspended, task 'b' changed it, and task 'a' then used it."),
        0u)
        << reports_[0];
  }
  std::vector<std::string> reports_;
};

TEST_F(SharedStateOfTasks, IsReportedToTheLog) {
  aio::testing::TestLoop loop;
  loop.run_until_complete([] {
    const auto task = [](int number) {
      serve(number);
      aio::await(aio::sleep(1ms));
      return user();
    };
    auto a = aio::create_task({.name = "a"}, task, 1);
    auto b = aio::create_task({.name = "b"}, task, 2);
    EXPECT_EQ(aio::await(a), 2);
    EXPECT_EQ(aio::await(b), 2);
  });
  expect_report();
}

aio::Coro<int> coroutine(int number) {
  serve(number);
  co_await aio::sleep(1ms);
  co_return user();
}

// The kernel refuses to read a protected page. So none may be protected while a thread of a pool works.
std::array<char, 4096> sent = {"text"};

ssize_t write_sent(int fd) { return ::pwrite(fd, sent.data(), sent.size(), 0); }

TEST_F(SharedStateOfTasks, LeavesTheSystemCallsOfThePoolAlone) {
  const int fd = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  aio::testing::TestLoop loop;
  loop.set_may_block(true);
  loop.run_until_complete([fd] {
    for (int round = 0; round < 20; ++round) {
      const auto [first, second] = aio::await(aio::gather(aio::to_thread([fd] { return write_sent(fd); }),
                                                          aio::to_thread([fd] { return write_sent(fd); })));
      EXPECT_EQ(first, static_cast<ssize_t>(sent.size()));
      EXPECT_EQ(second, static_cast<ssize_t>(sent.size()));
    }
  });
  ::close(fd);
}

TEST_F(SharedStateOfTasks, IsFoundAfterWorkOfAPool) {
  aio::testing::TestLoop loop;
  loop.set_may_block(true);
  loop.run_until_complete([] {
    aio::await(aio::to_thread([] {}));
    const auto task = [](int number) {
      serve(number);
      aio::await(aio::sleep(1ms));
      return user();
    };
    auto a = aio::create_task({.name = "a"}, task, 1);
    auto b = aio::create_task({.name = "b"}, task, 2);
    EXPECT_EQ(aio::await(a), 2);
    EXPECT_EQ(aio::await(b), 2);
  });
  expect_report();
}

TEST_F(SharedStateOfTasks, IsFoundInCoroutines) {
  aio::testing::TestLoop loop;
  loop.run_until_complete([] {
    auto a = aio::create_task(coroutine(1), {.name = "a"});
    auto b = aio::create_task(coroutine(2), {.name = "b"});
    EXPECT_EQ(aio::await(a), 2);
    EXPECT_EQ(aio::await(b), 2);
  });
  expect_report();
}

}  // namespace
