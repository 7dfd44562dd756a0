// SPDX-License-Identifier: Apache-2.0
//
// An EventLoop inside another loop: here a plain epoll loop drives it, and must never sleep while there is
// something to do.
// Labels: threads
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// The other loop. It sleeps in epoll_wait for at most `kPatience`; a test whose loop was not woken then
// fails.
class Host {
 public:
  explicit Host(EventLoop& guest) : guest_(guest), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event{};
    event.events = EPOLLIN;
    EXPECT_EQ(::epoll_ctl(epoll_, EPOLL_CTL_ADD, guest.backend_fd(), &event), 0);
  }
  ~Host() { ::close(epoll_); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Runs until the guest's task is done. False: it slept in vain.
  bool run(const AnyFuture& until) {
    while (!until.done()) {
      if (!turn()) return false;
    }
    return true;
  }
  bool turn() {
    int timeout = kPatience;
    const auto next = guest_.next_deadline();
    if (next) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - guest_.time()).count();
      timeout = static_cast<int>(std::clamp<long long>(left, 0, kPatience));
    }
    epoll_event event{};
    const int events = ::epoll_wait(epoll_, &event, 1, timeout);
    if (events == 0 && timeout == kPatience) return false;
    guest_.run_once(0s);
    return true;
  }

 private:
  static constexpr int kPatience = 20'000;
  EventLoop& guest_;
  int epoll_;
};

TEST(GuestLoop, RunsTasksAndTimers) {
  EventLoop loop;
  Host host(loop);
  auto task = loop.create_task([] {
    int sum = 0;
    for (int i = 0; i < 3; ++i) {
      await(sleep(1ms));
      sum += await(create_task([i] {
        await(sleep(0s));
        return i;
      }));
    }
    return sum;
  });
  EXPECT_TRUE(host.run(task));
  EXPECT_EQ(task.result(), 3);
  EXPECT_FALSE(loop.is_running());
  loop.close();
}

TEST(GuestLoop, HearsOfDescriptorsThatWereWatchedBetweenItsPasses) {
  EventLoop loop;
  Host host(loop);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  auto done = loop.create_future<void>();
  for (auto next = loop.next_deadline(); next && *next <= loop.time(); next = loop.next_deadline())
    host.turn();
  loop.add_reader(pair[0], [&] {
    loop.remove_reader(pair[0]);
    done.set_result();
  });
  std::thread writer([&] { EXPECT_EQ(::write(pair[1], "x", 1), 1); });
  EXPECT_TRUE(host.run(done));
  writer.join();
  ::close(pair[0]);
  ::close(pair[1]);
  loop.close();
}

TEST(GuestLoop, HearsOfCallsOfOtherThreads) {
  EventLoop loop;
  Host host(loop);
  constexpr int kCalls = 200;
  auto done = loop.create_future<void>();
  int count = 0;
  std::atomic<int> seen = 0;
  std::thread thread([&] {
    for (int i = 0; i < kCalls; ++i) {
      loop.call_soon_threadsafe([&] {
        seen = ++count;
        if (count == kCalls) done.set_result();
      });
      while (i % 2 == 0 && seen <= i) std::this_thread::yield();  // every other time the loop has to be woken
    }
  });
  EXPECT_TRUE(host.run(done));
  thread.join();
  loop.close();
}

TEST(GuestLoop, HearsOfAChannelOfAnotherLoop) {
  EventLoop loop;
  Host host(loop);
  const Channel<int> there(1), back(1);
  std::thread thread([there, back] {
    run([&] {
      for (int i = 0; i < 100; ++i) await(back.put(await(there.get()) + 1));
    });
  });
  auto task = loop.create_task([there, back] {
    int value = 0;
    for (int i = 0; i < 100; ++i) {
      await(there.put(value));
      value = await(back.get());
    }
    return value;
  });
  EXPECT_TRUE(host.run(task));
  thread.join();
  EXPECT_EQ(task.result(), 100);
  loop.close();
}

TEST(GuestLoop, HearsOfSignals) {
  EventLoop loop;
  auto first = loop.create_future<void>();
  auto second = loop.create_future<void>();
  loop.add_signal_handler(SIGUSR1, [&] { first.set_result(); });
  Host host(loop);  // after the first handler
  loop.add_signal_handler(SIGUSR2, [&] { second.set_result(); });
  for (auto next = loop.next_deadline(); next && *next <= loop.time(); next = loop.next_deadline())
    host.turn();
  ::raise(SIGUSR1);
  EXPECT_TRUE(host.run(first));
  ::raise(SIGUSR2);
  EXPECT_TRUE(host.run(second));
  loop.close();
  struct sigaction after {};
  ::sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(after.sa_handler, SIG_DFL);
}

TEST(GuestLoop, SaysThatItHasNothingToDo) {
  EventLoop loop;
  loop.backend_fd();
  for (int i = 0; i < 3; ++i) loop.run_once(0s);
  EXPECT_EQ(loop.next_deadline(), std::nullopt);
  EXPECT_FALSE(loop.run_once(0s));
  const TimePoint when = loop.time() + 1h;
  auto timer = loop.call_at(when, [] {});
  EXPECT_EQ(loop.next_deadline(), when);
  timer.cancel();
  EXPECT_EQ(loop.next_deadline(), std::nullopt);
  loop.call_soon([] {});
  EXPECT_LE(*loop.next_deadline(), loop.time());
  EXPECT_TRUE(loop.run_once(0s));
  EXPECT_EQ(loop.next_deadline(), std::nullopt);
  loop.close();
}

TEST(GuestLoop, RunsOnePassAtATime) {
  EventLoop loop;
  int steps = 0;
  auto task = loop.create_task([&] {
    for (int i = 0; i < 5; ++i) {
      ++steps;
      await(sleep(0s));
    }
  });
  for (int expected = 1; expected <= 5; ++expected) {
    loop.run_once(0s);
    EXPECT_EQ(steps, expected);
  }
  while (!task.done()) loop.run_once(0s);
  loop.close();
}

TEST(GuestLoop, WaitsForATimerByItself) {
  testing::TestLoop loop;
  bool called = false;
  loop.call_later(10s, [&] { called = true; });
  EXPECT_FALSE(loop.run_once(4s));
  EXPECT_EQ(loop.time(), TimePoint(4s));
  EXPECT_FALSE(called);
  EXPECT_TRUE(loop.run_once());
  EXPECT_TRUE(called);
  EXPECT_EQ(loop.time(), TimePoint(10s));
  loop.close();
}

TEST(GuestLoop, LetsExceptionsThatLeaveTheLoopOut) {
  EventLoop loop;
  loop.call_soon([] { throw SystemExit(3); });
  EXPECT_THROW(loop.run_once(0s), SystemExit);
  bool called = false;
  loop.call_soon([&] { called = true; });
  loop.run_once(0s);
  EXPECT_TRUE(called);
  loop.close();
}

TEST(GuestLoop, RefusesToRunWhereALoopRunsAndWhenItIsClosed) {
  EventLoop loop, other;
  loop.run_until_complete([&] {
    EXPECT_THROW(loop.run_once(0s), RuntimeError);
    EXPECT_THROW(loop.next_deadline(), RuntimeError);
    EXPECT_THROW(other.run_once(0s), RuntimeError);
  });
  loop.close();
  other.close();
  EXPECT_THROW(loop.run_once(0s), RuntimeError);
  EXPECT_THROW(loop.backend_fd(), RuntimeError);
  EXPECT_THROW(loop.next_deadline(), RuntimeError);
}

TEST(GuestLoop, RunsByItselfAgain) {
  EventLoop loop;
  Host host(loop);
  auto task = loop.create_task([] { await(sleep(1ms)); });
  EXPECT_TRUE(host.run(task));
  EXPECT_EQ(loop.run_until_complete([] { return await(to_thread([] { return 5; })); }), 5);
  loop.run_until_complete(shutdown_default_executor(loop));
  loop.close();
}

TEST(GuestLoop, ClosesWithTasksThatWait) {
  set_log_sink([](LogLevel, std::string_view) {});
  EventLoop loop;
  bool unwound = false;
  {
    Host host(loop);
    loop.create_task([&] {
          struct AtEnd {
            bool& flag;
            ~AtEnd() { flag = true; }
          } const at_end{unwound};
          await(sleep(1h));
        })
        .detach();
    host.turn();
  }
  loop.close();
  EXPECT_TRUE(unwound);
  set_log_sink(nullptr);
}

}  // namespace
}  // namespace aiofiber
