// SPDX-License-Identifier: Apache-2.0
//
// Cases in which the hooks must not act: disabled for the task, other threads, a forked child, the checks of
// the fortified names; and a loop that is closed while fibers are inside a call.
// Labels: threads
#include <poll.h>
#include <sys/wait.h>

#include <cstdlib>
#include <thread>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/engine/offload.h"
#include "support/fibers.h"

extern "C" ssize_t __read_chk(int fd, void* buffer, size_t length, size_t buffer_size);
extern "C" ssize_t __recv_chk(int fd, void* buffer, size_t length, size_t buffer_size, int flags);
extern "C" int __poll_chk(pollfd* entries, nfds_t count, int timeout_ms, size_t entries_size);

namespace aiofiber::hooks_test {
namespace {

TEST(Disable, MakesTheTasksCallsBlockTheThread) {
  Fibers fibers;
  int ticks = 0;
  bool ended = false;
  fibers.spawn([&] {
    sleep_ms(2);
    const hooks::Disable outer;
    { const hooks::Disable inner; }
    const int before = ticks;
    ::usleep(20'000);
    EXPECT_EQ(ticks, before);  // nobody else ran
    ended = true;
  });
  fibers.spawn([&] {
    while (!ended) {
      sleep_ms(1);
      ++ticks;
    }
  });
  fibers.run();
}

TEST(Disable, EndsWithItsScopeAndConcernsItsOwnTaskOnly) {
  Fibers fibers;
  const double start = now_ms();
  int overlapped = 0;
  fibers.spawn([] {
    const hooks::Disable scope;
    runtime::yield_now();
  });
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      { const hooks::Disable scope; }
      sleep_ms(20);
      ++overlapped;
    });
  }
  fibers.run();
  EXPECT_EQ(overlapped, 10);
  EXPECT_LT(now_ms() - start, 150);  // one after the other: 200 ms
}

TEST(Hooks, StandAsideOnOtherThreads) {
  Fibers fibers;
  Pipe pipe;
  std::thread reader;
  fibers.spawn([&] {
    reader = std::thread([&] {
      char byte;
      EXPECT_EQ(::read(pipe[0], &byte, 1), 1);  // blocks that thread
    });
    sleep_ms(3);
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  });
  fibers.run();
  reader.join();
}

TEST(Hooks, StandAsideInAForkedChild) {
  Fibers fibers;
  Pipe pipe;
  int status = -1;
  fibers.spawn([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      char buffer[4];
      const ssize_t n = ::read(pipe[0], buffer, sizeof buffer);
      ::usleep(1000);
      ::_exit(n == 2 ? 0 : 1);
    }
    sleep_ms(3);
    EXPECT_EQ(::write(pipe[1], "ok", 2), 2);
    EXPECT_EQ(::waitpid(child, &status, 0), child);
  });
  fibers.run();
  EXPECT_EQ(status, 0);
}

TEST(Hooks, StandAsideWhileTheProgramEnds) {
  static bool others_ran = false;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Fibers fibers;
    fibers.spawn([] {
      std::atexit([] {
        ::usleep(5'000);
        ::_exit(others_ran ? 1 : 7);
      });
      std::exit(0);
    });
    fibers.spawn([] { others_ran = true; });
    fibers.run();
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
}

TEST(Offload, OfAForkedChildHasThreadsOfItsOwn) {
  if (AIOFIBER_TSAN) GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts a thread";
  Fibers fibers;
  pid_t child = -1;
  fibers.spawn([&] {
    EXPECT_EQ(runtime::offload([] { return 1; }), 1);  // the parent's pool has a thread that waits for work
    child = ::fork();
    if (child != 0) return;
    std::thread([] {  // a thread, because this one still stands in the parent's loop
      Fibers own;
      int result = 0;
      own.spawn([&] { result = runtime::offload([] { return 7; }); });
      own.run();
      ::_exit(result);
    })
        .join();
  });
  fibers.run();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
}

// The reactor keeps watching a descriptor between waits. Closed by another thread, its number comes back for
// another file: the wait for that one must be a fresh one.
TEST(HookedClose, OnAnotherThreadIsHeardOfByTheLoop) {
  Fibers fibers;
  fibers.spawn([&] {
    int used = -1;
    for (int round = 0; round < 2; ++round) {
      int fds[2];
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
      if (round == 0) used = fds[0];
      ASSERT_EQ(fds[0], used);
      const timeval limit{1, 0};
      ::setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      fibers.spawn([fd = fds[1]] {
        sleep_ms(2);
        EXPECT_EQ(::send(fd, "x", 1, 0), 1);
      });
      char byte;
      EXPECT_EQ(::recv(fds[0], &byte, 1, 0), 1) << "round " << round;
      std::thread([&] {
        ::close(fds[0]);
        ::close(fds[1]);
      }).join();
    }
  });
  fibers.run();
}

TEST(FortifiedNames, SuspendAsThePlainOnesDo) {
  Fibers fibers;
  SocketPair pair;
  Pipe pipe;
  fibers.spawn([&] {
    char buffer[4];
    pollfd entry{pair[0], POLLIN, 0};
    EXPECT_EQ(__poll_chk(&entry, 1, 1000, sizeof entry), 1);
    EXPECT_EQ(__recv_chk(pair[0], buffer, sizeof buffer, sizeof buffer, 0), 1);
    EXPECT_EQ(__read_chk(pipe[0], buffer, sizeof buffer, sizeof buffer), 1);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::write(pair[1], "x", 1), 1);
    sleep_ms(3);
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  });
  fibers.run();
}

TEST(FortifiedNamesDeathTest, EndTheProgramWhenTheBufferIsTooSmall) {
  char buffer[4];
  EXPECT_DEATH(__read_chk(0, buffer, sizeof buffer + 1, sizeof buffer), "buffer overflow");
}

}  // namespace
}  // namespace aiofiber::hooks_test
