// SPDX-License-Identifier: Apache-2.0
//
// When hooks act, whose turn comes after a call that was ready, and what an interrupted fiber is told.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <iterator>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

void set_timeout(int fd, int option, int milliseconds) {
  const timeval time{0, milliseconds * 1000};
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, option, &time, sizeof time), 0);
}

TEST(Hooks, StandAsideOutsideATask) {
  SocketPair pair;
  set_timeout(pair[0], SO_RCVTIMEO, 10);
  char byte;
  EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return ::recv(pair[0], &byte, 1, 0); }));
  EXPECT_EQ(::send(pair[1], "x", 1, 0), 1);
  EXPECT_EQ(::read(pair[0], &byte, 1), 1);
}

TEST(Hooks, LetOthersRunThoughEveryCallIsReady) {
  Fibers fibers;
  SocketPair pair;
  bool other_ran = false;
  int calls = 0;
  fibers.spawn([&] {
    char byte = 'x';
    while (!other_ran && calls < 100'000) {
      EXPECT_EQ(::send(pair[0], &byte, 1, 0), 1);
      EXPECT_EQ(::recv(pair[1], &byte, 1, 0), 1);
      calls += 2;
    }
  });
  fibers.spawn([&] { other_ran = true; });
  fibers.run();
  EXPECT_LE(calls, 256);
}

// ---- cancellation, at the level of the runtime

// As a client does that polls in a loop: with threads the writer would run meanwhile.
TEST(Hooks, LetOthersRunThoughTheCallerOnlyAsksAgain) {
  Fibers fibers;
  SocketPair pair;
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event), 0);
  char byte = 0;
  mmsghdr message{};
  pollfd entry{pair[0], POLLIN, 0};
  const std::function<bool()> asks[] = {
      [&] { return ::poll(&entry, 1, 0) == 1; },
      [&] { return ::epoll_wait(epoll, &event, 1, 0) == 1; },
      [&] { return ::recv(pair[0], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1; },
      [&] { return ::recvmmsg(pair[0], &message, 1, MSG_PEEK | MSG_DONTWAIT, nullptr) == 1; },
  };
  const double start = now_ms();
  std::size_t begun = 0;
  fibers.spawn([&] {
    for (const auto& ask : asks) {
      ++begun;
      while (!ask() && now_ms() - start < 2000) {
      }
      EXPECT_EQ(::recv(pair[0], &byte, 1, 0), 1);
    }
  });
  fibers.spawn([&] {
    for (std::size_t i = 0; i < std::size(asks); ++i) {
      while (begun <= i) sleep_ms(1);
      EXPECT_EQ(::write(pair[1], "x", 1), 1);
    }
  });
  fibers.run();
  EXPECT_LT(now_ms() - start, 2000);
  ::close(epoll);
}

TEST(HookedCalls, EndWithEcanceledWhenTheFiberIsInterruptedAndKeepDoingSo) {
  Fibers fibers;
  SocketPair pair;
  Outcome first, second, ready;
  runtime::Fiber& reader = fibers.spawn([&] {
    char byte = 'x';
    first = outcome_of([&] { return ::recv(pair[0], &byte, 1, 0); });
    second = outcome_of([&] { return ::usleep(10'000'000); });
    ready = outcome_of([&] { return ::send(pair[0], &byte, 1, 0); });  // what need not wait still works
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(reader));
  });
  fibers.run();
  EXPECT_FAILS_WITH(ECANCELED, first);
  EXPECT_FAILS_WITH(ECANCELED, second);
  EXPECT_EQ(ready.value, 1);
}

}  // namespace
}  // namespace aiofiber::hooks_test
