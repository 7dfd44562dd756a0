// SPDX-License-Identifier: Apache-2.0
//
// The reactor under shortage of memory, of descriptors, and of the kernel's resources for epoll. No shortage
// ends the process, and a healthy descriptor is never reported as closed.
//
// epoll_ctl(2) is this program's own function, which refuses calls as a test requires; libev's allocations
// fail by a FaultPlan. So the runtime's own epoll_ctl is not in use here (epoll_refusals.h), and the reactor
// checks before a call and tries again.
#include <aiofiber/runtime/engine/fd_wait.h>
#include <aiofiber/runtime/engine/make_scheduler.h>
#include <aiofiber/runtime/engine/syscall.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/counting_waiter.h"
#include "support/pipe.h"

namespace {
// 0: let it through.
std::function<int(int epoll, int fd)> refuse_to_watch;
}  // namespace

extern "C" int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  if (refuse_to_watch && operation != EPOLL_CTL_DEL) {
    if (const int error = refuse_to_watch(epoll, fd)) {
      errno = error;
      return -1;
    }
  }
  return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}

namespace aiofiber::runtime {
namespace {

class RefusingKernel {
 public:
  explicit RefusingKernel(std::function<int(int, int)> refuse) { refuse_to_watch = std::move(refuse); }
  ~RefusingKernel() { refuse_to_watch = nullptr; }
};

TEST(RefusedDescriptor, IsReportedWithTheKernelsReason) {
  for (const int error : {ENOSPC, ENOMEM}) {
    const auto scheduler = make_scheduler();
    FilledPipe refused, other;
    const RefusingKernel kernel([&](int, int fd) { return fd == refused.reader() ? error : 0; });
    CountingWaiter first(refused.reader()), second(other.reader());
    scheduler->reactor().add(first);
    scheduler->reactor().add(second);
    for (int i = 0; i < 10; ++i) scheduler->reactor().poll(0);
    EXPECT_EQ(first.seen, kClosed);
    EXPECT_EQ(first.failure, error);
    EXPECT_EQ(first.times, 1);
    EXPECT_EQ(second.seen, kReadable);
  }
}

TEST(RefusedDescriptor, CanBeWaitedForOnceTheKernelHasRoomAgain) {
  const auto scheduler = make_scheduler();
  FilledPipe pipe;
  {
    const RefusingKernel kernel([&](int, int fd) { return fd == pipe.reader() ? ENOSPC : 0; });
    CountingWaiter waiter(pipe.reader());
    scheduler->reactor().add(waiter);
    scheduler->reactor().poll(0);
    EXPECT_EQ(waiter.failure, ENOSPC);
  }
  CountingWaiter again(pipe.reader());
  scheduler->reactor().add(again);
  scheduler->reactor().poll(0);
  EXPECT_EQ(again.seen, kReadable);
}

TEST(RefusedDescriptor, IsTriedAgainWhenTheReasonIsGone) {
  const auto scheduler = make_scheduler();
  FilledPipe pipe;
  int refusals = 1;
  const RefusingKernel kernel(
      [&](int, int fd) { return fd == pipe.reader() && refusals-- > 0 ? ENOMEM : 0; });
  CountingWaiter waiter(pipe.reader());
  scheduler->reactor().add(waiter);
  for (int i = 0; i < 5 && waiter.times == 0; ++i) scheduler->reactor().poll(0);
  EXPECT_EQ(waiter.seen, kReadable);
  EXPECT_EQ(waiter.failure, 0);
}

// Where the loop's own epoll is refused, and the one by which the kernel is asked is not.
TEST(RefusedDescriptor, IsGivenUpAfterAFewTriesWhenTheKernelDoesNotSayWhy) {
  FilledPipe pipe;
  int loops_own = -1;
  int asked = 0;
  const RefusingKernel kernel([&](int epoll, int fd) {
    if (loops_own < 0) loops_own = epoll;  // it watches a descriptor of its own first
    if (fd != pipe.reader()) return 0;
    ++asked;
    return epoll == loops_own ? ENOMEM : 0;
  });
  const auto scheduler = make_scheduler();
  CountingWaiter waiter(pipe.reader());
  scheduler->reactor().add(waiter);
  for (int i = 0; i < 50; ++i) scheduler->reactor().poll(0);
  EXPECT_EQ(waiter.seen, kClosed);
  EXPECT_EQ(waiter.failure, ENOMEM);
  EXPECT_LE(asked, 10);
}

// libev would sleep for a minute before it says so.
TEST(RefusedDescriptor, EndsAWaitOfAFiberWithTheReasonAndAtOnce) {
  const auto scheduler = make_scheduler();
  FilledPipe pipe;
  const RefusingKernel kernel([&](int, int fd) { return fd == pipe.reader() ? ENOSPC : 0; });
  static FdWaitResult result;
  static int waited_for;
  waited_for = pipe.reader();
  const auto body = [](Fiber& fiber) noexcept {
    result = fd_wait(waited_for, kReadable, 30'000'000'000);
    fiber.scheduler->stop();
  };
  scheduler->make_ready(scheduler->create_fiber(body, nullptr, 0, 0));
  scheduler->run();
  EXPECT_EQ(result.events, kClosed);
  EXPECT_EQ(result.error, ENOSPC);
  EXPECT_FALSE(result.timed_out);
}

TEST(ClosedDescriptor, BetweenTheWaitAndThePollIsSeenAsClosed) {
  const auto scheduler = make_scheduler();
  FilledPipe closed, other;
  CountingWaiter first(closed.reader()), second(other.reader());
  scheduler->reactor().add(first);
  scheduler->reactor().add(second);
  closed.close_reader();
  EXPECT_GT(scheduler->reactor().poll(1'000'000'000), 0);
  scheduler->reactor().poll(0);
  EXPECT_EQ(first.seen, kClosed);
  EXPECT_EQ(first.failure, EBADF);
  EXPECT_EQ(second.seen, kReadable);
}

TEST(RefusedDescriptor, OfAKindThatIsNeverWatchedIsReported) {
  for (const int error : {ELOOP, EINVAL}) {
    const auto scheduler = make_scheduler();
    FilledPipe refused, other;
    const RefusingKernel kernel([&](int, int fd) { return fd == refused.reader() ? error : 0; });
    CountingWaiter first(refused.reader()), second(other.reader());
    scheduler->reactor().add(first);
    scheduler->reactor().add(second);
    EXPECT_GT(scheduler->reactor().poll(1'000'000'000), 0);
    scheduler->reactor().poll(0);
    EXPECT_EQ(first.failure, error);
    EXPECT_EQ(second.seen, kReadable);
  }
}

// ---- memory

// Of the allocations that cannot throw, those from a certain one on fail.
class FailingFrom final : public FaultPlan {
 public:
  explicit FailingFrom(std::size_t first) : first_(first) { current_fault_plan = this; }
  ~FailingFrom() override { current_fault_plan = nullptr; }
  int fail(const char* call) noexcept override {
    if (std::strcmp(call, "realloc") != 0) return 0;
    return count++ >= first_ ? ENOMEM : 0;
  }
  std::size_t count = 0;

 private:
  std::size_t first_;
};

// Makes a loop, adds one pipe after the other, and polls while all of them are ready. Each pipe that was
// added must be notified. A shortage of memory ends it by std::bad_alloc.
void use_a_reactor(std::size_t pipes) {
  const auto scheduler = make_scheduler();
  Reactor& reactor = scheduler->reactor();
  std::vector<std::unique_ptr<FilledPipe>> open;
  std::vector<std::unique_ptr<CountingWaiter>> waiters;
  bool short_of_memory = false;
  for (std::size_t i = 0; i < pipes && !short_of_memory; ++i) {
    open.push_back(std::make_unique<FilledPipe>());
    auto waiter = std::make_unique<CountingWaiter>(open.back()->reader());
    try {
      reactor.add(*waiter);
      waiters.push_back(std::move(waiter));
    } catch (const std::bad_alloc&) {
      short_of_memory = true;
    }
    if (i % 50 == 0) reactor.poll(0);
  }
  reactor.wake();
  for (int i = 0; i < 8; ++i) reactor.poll(i % 2 == 0 ? 0 : 1000);
  for (const auto& waiter : waiters) EXPECT_EQ(waiter->seen, kReadable);
  for (const auto& waiter : waiters) reactor.remove(*waiter);
  for (int i = 0; i < 4; ++i) reactor.poll(0);  // interest is withdrawn, which needs memory too
  if (short_of_memory) throw std::bad_alloc();
}

TEST(ShortageOfMemory, IsAnExceptionWhereverItBegins) {
  for (const std::size_t pipes : {1u, 130u}) {
    std::size_t all = 0;
    {
      FailingFrom nothing(SIZE_MAX);
      use_a_reactor(pipes);
      all = nothing.count;
    }
    EXPECT_GT(all, 20u);
    std::size_t thrown = 0;
    for (std::size_t first = 0; first < all; ++first) {
      FailingFrom faults(first);
      try {
        use_a_reactor(pipes);
      } catch (const std::bad_alloc&) {
        ++thrown;
      }
    }
    EXPECT_GT(thrown, 10u);
    EXPECT_LT(thrown, all);  // the reserve was enough for the rest
  }
}

TEST(ShortageOfDescriptors, IsAnExceptionWhereverItBegins) {
  if (AIOFIBER_ASAN) GTEST_SKIP() << "the sanitizer opens a pipe to look at an exception's type";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  std::size_t made = 0, refused = 0;
  const int next = ::dup(STDIN_FILENO);
  ::close(next);
  for (int free = 0; free < 5; ++free) {
    rlimit limit = before;
    limit.rlim_cur = static_cast<rlim_t>(next + free);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    try {
      make_scheduler();
      ++made;
    } catch (const std::runtime_error&) {
      ++refused;
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
  }
  EXPECT_EQ(refused, 2u);  // it needs two
  EXPECT_EQ(made, 3u);
}

}  // namespace
}  // namespace aiofiber::runtime
