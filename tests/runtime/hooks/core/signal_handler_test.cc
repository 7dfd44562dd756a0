// SPDX-License-Identifier: Apache-2.0
//
// In a signal handler the hooks stand aside: it must not be suspended, but it may wake a task.
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

bool handler_saw_hooks_off = false;

TEST(SignalHandler, IsNotSuspended) {
  Fibers fibers;
  struct sigaction action {};
  action.sa_handler = [](int) {
    handler_saw_hooks_off = runtime::current_fiber() == nullptr || runtime::current_fiber()->hooks_off > 0;
    ::usleep(1000);  // would let other tasks run
  };
  struct sigaction old {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &old), 0);
  struct sigaction current {};
  ASSERT_EQ(::sigaction(SIGUSR1, nullptr, &current), 0);
  EXPECT_EQ(current.sa_handler, action.sa_handler);  // ours is not seen
  bool other_ran = false;
  fibers.spawn([&] {
    ::raise(SIGUSR1);
    EXPECT_TRUE(handler_saw_hooks_off);
    EXPECT_FALSE(other_ran);
    EXPECT_EQ(runtime::current_fiber()->hooks_off, 0u);
  });
  fibers.spawn([&] { other_ran = true; });
  fibers.run();
  EXPECT_EQ(::signal(SIGUSR1, SIG_DFL), action.sa_handler);
}

// In a program that was compiled as strict C, signal() is this one.
TEST(SignalHandler, OfStrictCIsNotSuspendedAndIsForOneSignal) {
  Fibers fibers;
  handler_saw_hooks_off = false;
  EXPECT_EQ(::__sysv_signal(SIGUSR1,
                            [](int) {
                              handler_saw_hooks_off = runtime::current_fiber()->hooks_off > 0;
                              ::usleep(1000);
                            }),
            SIG_DFL);
  bool other_ran = false;
  fibers.spawn([&] {
    ::raise(SIGUSR1);
    EXPECT_TRUE(handler_saw_hooks_off);
    EXPECT_FALSE(other_ran);
  });
  fibers.spawn([&] { other_ran = true; });
  fibers.run();
  EXPECT_EQ(::signal(SIGUSR1, SIG_DFL), SIG_DFL);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // old programs call it
TEST(SignalHandler, OfSigsetIsNotSuspended) {
  Fibers fibers;
  const auto handler = [](int) { handler_saw_hooks_off = runtime::current_fiber()->hooks_off > 0; };
  fibers.spawn([&] {
    handler_saw_hooks_off = false;
    EXPECT_EQ(::sigset(SIGUSR1, handler), SIG_DFL);
    ::raise(SIGUSR1);
    EXPECT_TRUE(handler_saw_hooks_off);
    handler_saw_hooks_off = false;
    EXPECT_EQ(::sigset(SIGUSR1, SIG_HOLD), static_cast<sighandler_t>(handler));
    ::raise(SIGUSR1);
    EXPECT_FALSE(handler_saw_hooks_off);
    EXPECT_EQ(::sigset(SIGUSR1, handler), SIG_HOLD);
    EXPECT_TRUE(handler_saw_hooks_off);
    EXPECT_EQ(::sigset(SIGUSR1, SIG_DFL), static_cast<sighandler_t>(handler));
    EXPECT_EQ(::sigset(NSIG, SIG_DFL), SIG_ERR);
  });
  fibers.run();
}
#pragma GCC diagnostic pop

TEST(SignalHandler, CannotBeAnError) {
  errno = 0;
  EXPECT_EQ(::signal(SIGUSR1, SIG_ERR), SIG_ERR);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(::signal(SIGUSR1, SIG_DFL), SIG_DFL);
}

sem_t posted_by_handler;

TEST(SignalHandler, CanPostASemaphoreThatATaskWaitsFor) {
  Fibers fibers;
  sem_init(&posted_by_handler, 0, 0);
  ::signal(SIGUSR1, [](int) { sem_post(&posted_by_handler); });
  fibers.spawn([] { EXPECT_EQ(sem_wait(&posted_by_handler), 0); });
  fibers.spawn([] {
    sleep_ms(2);
    ::raise(SIGUSR1);
  });
  fibers.run();
  ::signal(SIGUSR1, SIG_DFL);
  sem_destroy(&posted_by_handler);
}

}  // namespace
}  // namespace aiofiber::hooks_test
