// SPDX-License-Identifier: Apache-2.0
//
// Errors of the kernel's epoll reach the waiters, with the reason; none of them ends the process. As
// reactor_test, but with the runtime's own epoll_ctl, so that the errors are the kernel's.
// Labels: long
#include "engine/epoll_refusals.h"

#include <aiofiber/runtime/engine/fd_wait.h>
#include <aiofiber/runtime/engine/make_scheduler.h>
#include <aiofiber/runtime/engine/syscall.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include "support/counting_waiter.h"
#include "support/pipe.h"

#ifndef AIOFIBER_EPOLL_CTL_IS_HIDDEN
#define AIOFIBER_EPOLL_CTL_IS_HIDDEN 0
#endif

namespace aiofiber::runtime {
namespace {

// Epolls in each other, so deep that no other may watch the outermost; a pipe with a byte is in the
// innermost.
class DeepEpoll {
 public:
  DeepEpoll() {
    for (int inner = pipe_.reader();;) {
      const int outer = ::epoll_create1(EPOLL_CLOEXEC);
      epoll_event event{};
      event.events = EPOLLIN;
      if (::epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event) != 0) {
        EXPECT_EQ(errno, ELOOP);
        ::close(outer);
        return;
      }
      epolls_.push_back(outer);
      inner = outer;
    }
  }
  ~DeepEpoll() {
    for (const int epoll : epolls_) ::close(epoll);
  }
  DeepEpoll(const DeepEpoll&) = delete;
  DeepEpoll& operator=(const DeepEpoll&) = delete;
  int outermost() const { return epolls_.back(); }

 private:
  FilledPipe pipe_;
  std::vector<int> epolls_;
};

// Called when libev is about to tell the kernel of something, and decides whether that fails.
class Kernel final : public FaultPlan {
 public:
  explicit Kernel(std::function<int(const char* call)> answer) : answer_(std::move(answer)) {
    current_fault_plan = this;
  }
  ~Kernel() override { current_fault_plan = nullptr; }
  int fail(const char* call) noexcept override {
    return std::strstr(call, "epoll_ctl") != nullptr ? answer_(call) : 0;
  }

 private:
  std::function<int(const char*)> answer_;
};

bool is_libevs(const char* call) { return std::strcmp(call, "libev's epoll_ctl") == 0; }

TEST(Refusals, OfLibevAreHeardOf) {
  if (AIOFIBER_EPOLL_CTL_IS_HIDDEN) GTEST_SKIP() << "libev's calls go past us";
  const auto scheduler = make_scheduler();
  FilledPipe pipe;
  CountingWaiter waiter(pipe.reader());
  int heard = 0;
  const Kernel kernel([&](const char* call) {
    heard += is_libevs(call) ? 1 : 0;
    return 0;
  });
  scheduler->reactor().add(waiter);
  scheduler->reactor().poll(0);
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(waiter.seen, kReadable);
}

// As another thread does that is quicker than the look whether it is open.
TEST(Refusals, OfADescriptorThatIsClosedAtTheLastMomentAreItsEnd) {
  if (AIOFIBER_EPOLL_CTL_IS_HIDDEN) GTEST_SKIP() << "libev's calls go past us";
  const auto scheduler = make_scheduler();
  FilledPipe closed, other;
  CountingWaiter first(closed.reader()), second(other.reader());
  scheduler->reactor().add(first);
  scheduler->reactor().add(second);
  {
    const Kernel kernel([&](const char*) {
      closed.close_reader();
      return 0;
    });
    EXPECT_GT(scheduler->reactor().poll(1'000'000'000), 0);
    scheduler->reactor().poll(0);
  }
  EXPECT_EQ(first.seen, kClosed);
  EXPECT_EQ(first.failure, EBADF);
  EXPECT_EQ(first.times, 1);
  EXPECT_EQ(second.seen, kReadable);
}

TEST(Refusals, OfAnEpollThatIsTooDeepAreToldToWhoWaits) {
  const auto scheduler = make_scheduler();
  const DeepEpoll deep;
  FilledPipe other;
  CountingWaiter first(deep.outermost()), second(other.reader());
  scheduler->reactor().add(first);
  scheduler->reactor().add(second);
  EXPECT_GT(scheduler->reactor().poll(1'000'000'000), 0);
  scheduler->reactor().poll(0);
  EXPECT_EQ(first.seen, kClosed);
  EXPECT_EQ(first.failure, ELOOP);
  EXPECT_EQ(second.seen, kReadable);
}

TEST(Refusals, EndAWaitOfAFiberAtOnce) {
  const auto scheduler = make_scheduler();
  const DeepEpoll deep;
  static FdWaitResult result;
  static int waited_for;
  waited_for = deep.outermost();
  const auto body = [](Fiber& fiber) noexcept {
    result = fd_wait(waited_for, kReadable, 30'000'000'000);
    fiber.scheduler->stop();
  };
  scheduler->make_ready(scheduler->create_fiber(body, nullptr, 0, 0));
  scheduler->run();
  EXPECT_EQ(result.events, kClosed);
  EXPECT_EQ(result.error, ELOOP);
  EXPECT_FALSE(result.timed_out);
}

TEST(Refusals, ThatLastHaveTheKernelsReason) {
  if (AIOFIBER_EPOLL_CTL_IS_HIDDEN) GTEST_SKIP() << "libev's calls go past us";
  for (const int error : {ENOSPC, ENOMEM, EINVAL}) {
    const auto scheduler = make_scheduler();
    FilledPipe pipe;
    CountingWaiter waiter(pipe.reader());
    scheduler->reactor().add(waiter);
    const Kernel kernel([&](const char*) { return error; });
    for (int i = 0; i < 10; ++i) scheduler->reactor().poll(0);
    EXPECT_EQ(waiter.seen, kClosed);
    EXPECT_EQ(waiter.failure, error);
    EXPECT_EQ(waiter.times, 1);
  }
}

TEST(Refusals, ThatPassAreTriedAgain) {
  if (AIOFIBER_EPOLL_CTL_IS_HIDDEN) GTEST_SKIP() << "libev's calls go past us";
  const auto scheduler = make_scheduler();
  FilledPipe pipe;
  CountingWaiter waiter(pipe.reader());
  scheduler->reactor().add(waiter);
  int refusals = 1;
  const Kernel kernel([&](const char* call) { return is_libevs(call) && refusals-- > 0 ? ENOMEM : 0; });
  for (int i = 0; i < 5 && waiter.times == 0; ++i) scheduler->reactor().poll(0);
  EXPECT_EQ(waiter.seen, kReadable);
}

TEST(Refusals, ThatOnlyLibevGetsAreGivenUpOn) {
  if (AIOFIBER_EPOLL_CTL_IS_HIDDEN) GTEST_SKIP() << "libev's calls go past us";
  const auto scheduler = make_scheduler();
  FilledPipe pipe;
  CountingWaiter waiter(pipe.reader());
  scheduler->reactor().add(waiter);
  int asked = 0;
  const Kernel kernel([&](const char* call) {
    asked += is_libevs(call) ? 1 : 0;
    return is_libevs(call) ? ENOSPC : 0;
  });
  for (int i = 0; i < 50; ++i) scheduler->reactor().poll(0);
  EXPECT_EQ(waiter.seen, kClosed);
  EXPECT_EQ(waiter.failure, ENOSPC);
  EXPECT_EQ(asked, 3) << "that the kernel is asked whether it would is no try";
}

// By it other threads wake the loop.
TEST(Refusals, OfTheLoopsOwnDescriptorAreAnExceptionWhenItIsMade) {
  if (AIOFIBER_EPOLL_CTL_IS_HIDDEN) GTEST_SKIP() << "libev's calls go past us";
  const Kernel kernel([](const char* call) { return is_libevs(call) ? ENOSPC : 0; });
  try {
    make_scheduler();
    ADD_FAILURE() << "a loop that cannot be woken";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOSPC);
  }
}

TEST(EpollControl, IsLibcsForAllOthers) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  EXPECT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), -1);
  EXPECT_EQ(errno, EINVAL);
  ::close(epoll);
}

}  // namespace
}  // namespace aiofiber::runtime
