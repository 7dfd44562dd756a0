// SPDX-License-Identifier: Apache-2.0
//
// pause, sigsuspend and sigpause in fibers, on the virtual clock: a signal of the process ends them all, a
// task's own alarm only its own, and the other tasks run meanwhile.
#include <signal.h>
#include <unistd.h>

#include <array>

#include "aiofiber/runtime/engine/clock.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using runtime::Nanoseconds;
constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kLook = 50'000'000;

class SignalWaits : public testing::Test {
 protected:
  SignalWaits() {
    handled = 0;
    ::signal(SIGUSR1, count);
    ::signal(SIGALRM, count);
    sigemptyset(&nothing_);
    ::pthread_sigmask(SIG_SETMASK, &nothing_, nullptr);
  }
  ~SignalWaits() override {
    ::signal(SIGUSR1, SIG_DFL);
    ::signal(SIGALRM, SIG_DFL);
    ::pthread_sigmask(SIG_SETMASK, &nothing_, nullptr);
  }
  static void count(int) { ++handled; }
  static sigset_t set_of(int signo) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    return set;
  }
  Nanoseconds now() const { return clock_.now(); }

  static int handled;
  sigset_t nothing_;
  runtime::VirtualClock clock_;
  Fibers fibers_{clock_};
};
int SignalWaits::handled;

TEST_F(SignalWaits, PauseEndsAtTheTasksOwnAlarm) {
  Outcome with_alarm, without;
  fibers_.spawn([&] {
    ::alarm(2);
    with_alarm = outcome_of(::pause);
    EXPECT_EQ(now(), 2 * kSecond);
    EXPECT_EQ(handled, 1);
    ::sleep(1);
    ::raise(SIGUSR1);
  });
  fibers_.spawn([&] {
    without = outcome_of(::pause);
    EXPECT_GE(now(), 3 * kSecond);
    EXPECT_EQ(handled, 2);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, with_alarm);
  EXPECT_FAILS_WITH(EINTR, without);
}

TEST_F(SignalWaits, PauseOfEachTaskEndsAtASignalOfTheProcess) {
  std::array<Outcome, 3> seen;
  for (Outcome& one : seen) {
    fibers_.spawn([&] {
      one = outcome_of(::pause);
      EXPECT_GE(now(), kSecond);
      EXPECT_LE(now(), kSecond + kLook);
    });
  }
  int turns = 0;
  fibers_.spawn([&] {
    for (; turns < 100; ++turns) ::usleep(10'000);
    ::kill(::getpid(), SIGUSR1);
  });
  fibers_.run();
  for (const Outcome& one : seen) EXPECT_FAILS_WITH(EINTR, one);
  EXPECT_EQ(turns, 100);
  EXPECT_EQ(handled, 1);
}

// A handler that ran before is none that pause waits for, and neither is an ignored signal.
TEST_F(SignalWaits, PauseWaitsForTheNextHandler) {
  Outcome seen;
  fibers_.spawn([&] {
    ::raise(SIGUSR1);
    ::signal(SIGUSR2, SIG_IGN);
    seen = outcome_of(::pause);
    EXPECT_GE(now(), 2 * kSecond);
    EXPECT_EQ(handled, 2);
  });
  fibers_.spawn([&] {
    ::sleep(1);
    ::raise(SIGUSR2);
    ::sleep(1);
    ::raise(SIGUSR1);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
  ::signal(SIGUSR2, SIG_DFL);
}

// As old implementations of sleep() have it, so that the signal cannot come before the wait.
TEST_F(SignalWaits, SigsuspendLetsInTheBlockedAlarmOfTheTask) {
  Outcome seen;
  fibers_.spawn([&] {
    const sigset_t alarms = set_of(SIGALRM);
    sigset_t before;
    ::sigprocmask(SIG_BLOCK, &alarms, &before);
    ::alarm(1);
    sigset_t let_in = before;
    sigdelset(&let_in, SIGALRM);
    seen = outcome_of([&] { return ::sigsuspend(&let_in); });
    EXPECT_EQ(handled, 1);
    EXPECT_GE(now(), kSecond);
    EXPECT_LE(now(), kSecond + kLook);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
}

TEST_F(SignalWaits, SigsuspendKeepsOutTheAlarmThatItsMaskBlocks) {
  Outcome seen;
  fibers_.spawn([&] {
    ::alarm(1);
    const sigset_t alarms = set_of(SIGALRM);
    seen = outcome_of([&] { return ::sigsuspend(&alarms); });
    EXPECT_GE(now(), 2 * kSecond);
    EXPECT_EQ(handled, 1) << "only SIGUSR1's";
    EXPECT_EQ(::usleep(1000), -1);
    EXPECT_EQ(handled, 2) << "the alarm was kept";
  });
  fibers_.spawn([] {
    ::sleep(2);
    ::raise(SIGUSR1);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
}

TEST_F(SignalWaits, SigsuspendLetsInAPendingSignalOfTheProcess) {
  const sigset_t user = set_of(SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &user, nullptr);
  Outcome seen;
  fibers_.spawn([&] {
    seen = outcome_of([&] { return ::sigsuspend(&nothing_); });
    EXPECT_EQ(handled, 1);
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, SIGUSR1), 1) << "the thread's mask is as before";
  });
  fibers_.spawn([] {
    ::sleep(1);
    ::raise(SIGUSR1);
    EXPECT_EQ(handled, 0);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
}

extern "C" int bsd_sigpause(int mask) asm("sigpause");  // in C++ the name is that of X/Open's
int xopen_sigpause(int signo) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return ::sigpause(signo);
#pragma GCC diagnostic pop
}

TEST_F(SignalWaits, SigpauseOfXOpenLetsInThatSignal) {
  const sigset_t user = set_of(SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &user, nullptr);
  Outcome seen, bad;
  fibers_.spawn([&] {
    bad = outcome_of([] { return xopen_sigpause(-1); });
    seen = outcome_of([] { return xopen_sigpause(SIGUSR1); });
    EXPECT_EQ(handled, 1);
    EXPECT_GE(now(), kSecond);
  });
  fibers_.spawn([] {
    ::sleep(1);
    ::raise(SIGUSR1);
    EXPECT_EQ(handled, 0);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINVAL, bad);
  EXPECT_FAILS_WITH(EINTR, seen);
}

TEST_F(SignalWaits, SigpauseOfBsdHasAMaskOfBits) {
  Outcome seen;
  fibers_.spawn([&] {
    ::alarm(1);
    seen = outcome_of([] { return bsd_sigpause(1 << (SIGALRM - 1)); });
    EXPECT_GE(now(), 2 * kSecond);
    EXPECT_EQ(handled, 1) << "only SIGUSR1's";
    ::alarm(0);
  });
  fibers_.spawn([] {
    ::sleep(2);
    ::raise(SIGUSR1);
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
}

TEST_F(SignalWaits, EndWithACancellation) {
  Outcome paused, suspended;
  runtime::Fiber& first = fibers_.spawn([&] { paused = outcome_of(::pause); });
  runtime::Fiber& second =
      fibers_.spawn([&] { suspended = outcome_of([&] { return ::sigsuspend(&nothing_); }); });
  fibers_.spawn([&] {
    ::usleep(910'000);  // between two looks
    EXPECT_TRUE(Fibers::interrupt(first));
    EXPECT_TRUE(Fibers::interrupt(second));
  });
  fibers_.run();
  EXPECT_FAILS_WITH(ECANCELED, paused);
  EXPECT_FAILS_WITH(ECANCELED, suspended);
  EXPECT_EQ(handled, 0);
}

TEST_F(SignalWaits, OutsideOfTasksAreLibcs) {
  const sigset_t user = set_of(SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &user, nullptr);
  ::raise(SIGUSR1);
  EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::sigsuspend(&nothing_); }));
  EXPECT_EQ(handled, 1);
  ::raise(SIGUSR1);
  EXPECT_FAILS_WITH(EINTR, outcome_of([] { return xopen_sigpause(SIGUSR1); }));
  EXPECT_EQ(handled, 2);
}

}  // namespace
}  // namespace aiofiber::hooks_test
