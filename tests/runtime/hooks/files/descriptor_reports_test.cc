// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that one task closes while another uses them: the counter, and the reports of debug mode.
//
// Labels: long
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/hooks.h"
#include "aiofiber/testing.h"

namespace app {

namespace aio = aiofiber;
using aio::await;

// Runs the body as a task on virtual time; gives the reports.
template <class F>
std::vector<std::string> run(F body, bool debug = true) {
  std::vector<std::string> reports;
  aio::set_log_sink([&](aio::LogLevel, std::string_view text) { reports.emplace_back(text); });
  {
    aio::testing::TestLoop loop;
    loop.set_debug(debug);
    // Making a report takes a while, which is no news here.
    loop.slow_callback_duration = std::chrono::hours(1);
    loop.run_until_complete(body);
    loop.close();
  }
  aio::set_log_sink({});
  return reports;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Sockets {
  Sockets() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0); }
  ~Sockets() {
    for (const int fd : fds) ::close(fd);
  }
  int fds[2];
};

// ---- as C code has it: one connection in a static, whoever is first makes it, whoever is done closes it

int connection = -1;

__attribute__((noinline)) long ask() {
  char answer;
  const long count = static_cast<long>(::recv(connection, &answer, 1, 0));
  asm volatile("" ::: "memory");  // no tail call: the frame is looked for
  return count;
}

// Another place of the program: each is reported once.
__attribute__((noinline)) long ask_elsewhere() {
  char answer;
  const long count = static_cast<long>(::recv(connection, &answer, 1, 0));
  asm volatile("" ::: "memory");
  return count;
}

__attribute__((noinline)) void hang_up() {
  ::close(connection);
  asm volatile("" ::: "memory");
}

__attribute__((noinline)) void hang_up_elsewhere() {
  ::close(connection);
  asm volatile("" ::: "memory");
}

// Opens something that gets this number.
__attribute__((noinline)) void open_as(int number, int from) {
  EXPECT_EQ(::dup2(from, number), number);
  asm volatile("" ::: "memory");
}

// Two tasks: one waits for the connection, the other one closes it.
void close_under_a_wait() {
  Sockets sockets;
  connection = ::dup(sockets.fds[0]);
  auto waiter = aio::create_task({.name = "waiter"}, [] {
    EXPECT_EQ(ask(), -1);
    EXPECT_EQ(errno, EBADF);
  });
  auto closer = aio::create_task({.name = "closer"}, [] { hang_up(); });
  await(aio::gather(waiter, closer));
}

TEST(CloseOfADescriptorThatATaskWaitsFor, IsReportedWithBothTasksAndStacks) {
  const auto reports = run(close_under_a_wait);
  ASSERT_EQ(reports.size(), 1u);
  const std::string& text = reports[0];
  EXPECT_TRUE(text.starts_with("Task 'closer' closes descriptor " + std::to_string(connection) +
                               ", for which task 'waiter' waits."))
      << text;
  const std::size_t waits = text.find("Task 'waiter' waits for it here:\n");
  ASSERT_NE(waits, std::string::npos) << text;
  EXPECT_TRUE(has(text.substr(0, waits), "in app::hang_up\n")) << text;
  EXPECT_TRUE(has(text.substr(waits), "in app::ask\n")) << text;
}

TEST(CloseOfADescriptorThatATaskWaitsFor, IsCountedAlsoOutsideDebugMode) {
  const std::uint64_t before = aio::hooks::waits_ended_by_close();
  EXPECT_EQ(run(close_under_a_wait, false), std::vector<std::string>());
  EXPECT_EQ(aio::hooks::waits_ended_by_close(), before + 1);
}

TEST(CloseOfADescriptorThatATaskWaitsFor, IsReportedOncePerPlace) {
  const auto reports = run([] {
    for (int round = 0; round < 3; ++round) {
      Sockets sockets;
      connection = ::dup(sockets.fds[0]);
      auto waiter = aio::create_task([] { ask(); });
      await(aio::sleep(std::chrono::seconds(1)));
      hang_up_elsewhere();  // a place that no other test has
      await(waiter);
    }
  });
  EXPECT_EQ(reports.size(), 1u);
}

TEST(CloseOfADescriptorThatATaskWaitsFor, IsNotReportedWhenNobodyWaits) {
  EXPECT_EQ(run([] {
              Sockets sockets;
              connection = ::dup(sockets.fds[0]);
              ::send(sockets.fds[1], "x", 1, 0);
              await(aio::create_task([] { EXPECT_EQ(ask(), 1); }));
              hang_up();
            }),
            std::vector<std::string>());
}

// ---- the number is another file now

// The user asks twice; `closing` and `opening` run in tasks of its own meanwhile. Both times there is
// something to read.
template <class Close, class Open>
std::vector<std::string> ask_twice(Close closing, Open opening, long (*ask_again)() = ask) {
  return run([&] {
    Sockets old_ones, new_ones;
    ::send(old_ones.fds[1], "o", 1, 0);
    ::send(new_ones.fds[1], "nn", 2, 0);
    connection = ::dup(old_ones.fds[0]);
    auto user = aio::create_task({.name = "user"}, [&] {
      EXPECT_EQ(ask(), 1);
      await(aio::sleep(std::chrono::seconds(1)));
      ask_again();
    });
    auto closer = aio::create_task({.name = "closer"}, [&] { closing(); });
    await(closer);
    auto opener = aio::create_task({.name = "opener"}, [&] { opening(new_ones.fds[0]); });
    await(opener);
    await(user);
    ::close(connection);
  });
}

TEST(UseOfANumberThatIsAnotherFileNow, IsReportedWithWhoClosedAndWhoOpenedIt) {
  const auto reports = ask_twice(hang_up, [](int from) { open_as(connection, from); });
  ASSERT_EQ(reports.size(), 1u);
  const std::string& text = reports[0];
  EXPECT_TRUE(
      text.starts_with("Task 'user' uses descriptor " + std::to_string(connection) + ", which is another"))
      << text;
  const std::size_t closed = text.find("\nTask 'closer' closed the earlier one here:\n");
  const std::size_t opened = text.find("\nTask 'opener' opened this one here:\n");
  ASSERT_TRUE(closed != std::string::npos && opened != std::string::npos && closed < opened) << text;
  EXPECT_TRUE(has(text.substr(0, closed), "in app::ask\n")) << text;
  EXPECT_TRUE(has(text.substr(closed, opened - closed), "in app::hang_up\n")) << text;
  EXPECT_TRUE(has(text.substr(opened), "in app::open_as\n")) << text;
}

TEST(UseOfANumberThatIsAnotherFileNow, IsReportedForANewSocket) {
  int made[2] = {-1, -1};
  const auto reports = ask_twice(
      hang_up,
      [&](int) {
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, made), 0);
        EXPECT_EQ(made[0], connection) << "the lowest free number";
        ::send(made[1], "x", 1, 0);
      },
      ask_elsewhere);
  ::close(made[1]);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(reports[0].starts_with("Task 'user' uses descriptor")) << reports[0];
}

TEST(UseOfANumberThatIsAnotherFileNow, IsNotReportedOutsideDebugMode) {
  // With debug mode this is the first test.
  EXPECT_EQ(run(
                [] {
                  Sockets sockets;
                  connection = ::dup(sockets.fds[0]);
                  ::send(sockets.fds[1], "xx", 2, 0);
                  auto user = aio::create_task([] {
                    EXPECT_EQ(ask(), 1);
                    await(aio::sleep(std::chrono::seconds(1)));
                    EXPECT_EQ(ask(), 1);
                  });
                  await(aio::create_task([] { hang_up(); }));
                  await(aio::create_task([&] { open_as(connection, sockets.fds[0]); }));
                  await(user);
                  ::close(connection);
                },
                false),
            std::vector<std::string>());
}

TEST(UseOfANumberThatIsAnotherFileNow, IsNotReportedIfItIsNotOpenAgain) {
  EXPECT_EQ(ask_twice(hang_up, [](int) {}), std::vector<std::string>());
}

// The task did it itself, in whatever order others did the same before.
TEST(UseOfANumberThatIsAnotherFileNow, IsNotReportedIfTheTaskClosedTheOldOneOrOpenedTheNewOne) {
  EXPECT_EQ(run([] {
              Sockets sockets;
              ::send(sockets.fds[1], "xxxxx", 5, 0);
              connection = ::dup(sockets.fds[0]);
              EXPECT_EQ(ask(), 1);
              hang_up();
              open_as(connection, sockets.fds[0]);
              EXPECT_EQ(ask(), 1);
              await(aio::create_task([] { hang_up(); }));
              open_as(connection, sockets.fds[0]);
              EXPECT_EQ(ask(), 1);
              hang_up();
              await(aio::create_task([&] { open_as(connection, sockets.fds[0]); }));
              EXPECT_EQ(ask(), 1);
              ::close(connection);
            }),
            std::vector<std::string>());
}

// A server: the number of a connection that its handler closed comes again from accept().
TEST(UseOfANumberThatIsAnotherFileNow, IsNotReportedOfAServerAndItsHandlers) {
  EXPECT_EQ(run([] {
              Sockets sockets;
              ::send(sockets.fds[1], "xxxxxx", 6, 0);
              for (int round = 0; round < 3; ++round) {
                connection = ::dup(sockets.fds[0]);
                EXPECT_EQ(ask(), 1);  // the greeting
                await(aio::create_task([number = connection] {
                  char byte;
                  EXPECT_EQ(::recv(number, &byte, 1, 0), 1);
                  ::close(number);
                }));
              }
            }),
            std::vector<std::string>());
}

}  // namespace app
