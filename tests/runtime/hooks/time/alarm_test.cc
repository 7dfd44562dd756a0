// SPDX-License-Identifier: Apache-2.0
//
// The alarm of a task, on the virtual clock: whose it is, when it comes, what its handler's flags mean, and
// the time limits of C programs that are built on it. Nothing here waits in real time.
//
// Labels: long
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/clock.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using runtime::Nanoseconds;
constexpr Nanoseconds kSecond = 1'000'000'000;

// A handler that leaves by a jump is followed where the layout of a jmp_buf is known.
constexpr bool kJumpsAreKnown = AIOFIBER_ARCH_X86_64 == 1;

class TaskAlarms : public testing::Test {
 protected:
  TaskAlarms() { handled = 0; }
  ~TaskAlarms() override { ::signal(SIGALRM, SIG_DFL); }

  static void count(int) { ++handled; }
  static void set_handler(void (*handler)(int), int flags = 0) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    ::sigaction(SIGALRM, &action, nullptr);
  }
  Nanoseconds now() const { return clock_.now(); }

  static int handled;
  runtime::VirtualClock clock_;
  Fibers fibers_{clock_};
};
int TaskAlarms::handled;

// ---- whose it is

TEST_F(TaskAlarms, EndsTheWaitOfTheTaskThatSetItAfterTheHandlerHasRun) {
  set_handler(count);
  SocketPair sockets;
  Outcome seen;
  int handled_then = 0;
  fibers_.spawn([&] {
    ::alarm(3);
    char byte;
    seen = outcome_of([&] { return ::recv(sockets[0], &byte, 1, 0); });
    handled_then = handled;
  });
  Nanoseconds other_took = 0;
  fibers_.spawn([&] {
    ::sleep(10);  // is not ended by it
    other_took = now();
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
  EXPECT_EQ(handled_then, 1);
  EXPECT_EQ(other_took, 10 * kSecond);
}

TEST_F(TaskAlarms, IsNotCancelledByAnotherTask) {
  set_handler(count);
  unsigned left = 1, own_left = 0;
  fibers_.spawn([&] {
    ::alarm(5);
    EXPECT_EQ(::sleep(100), 95u);
  });
  fibers_.spawn([&] {
    ::sleep(1);
    left = ::alarm(0);
    ::alarm(50);
    ::sleep(2);
    own_left = ::alarm(0);
  });
  fibers_.run();
  EXPECT_EQ(left, 0u);
  EXPECT_EQ(own_left, 48u);
  EXPECT_EQ(handled, 1);
}

TEST_F(TaskAlarms, RunsItsHandlerOnTheStackOfTheTaskWithHooksOff) {
  static bool on_its_stack, hooks_were_off;
  set_handler([](int) {
    const runtime::Fiber* fiber = runtime::current_fiber();
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    on_its_stack = fiber != nullptr && here >= fiber->stack_low && here < fiber->stack_high;
    hooks_were_off = fiber != nullptr && fiber->hooks_off > 0;
  });
  fibers_.spawn([] {
    ::alarm(1);
    ::sleep(5);
    EXPECT_EQ(runtime::current_fiber()->hooks_off, 0u);
  });
  fibers_.spawn([] { ::sleep(5); });
  fibers_.run();
  EXPECT_TRUE(on_its_stack);
  EXPECT_TRUE(hooks_were_off);
}

TEST_F(TaskAlarms, IsTheProcessesOwnOutsideOfTasks) {
  ::alarm(100);
  itimerval of_process{}, of_task{};
  ::getitimer(ITIMER_REAL, &of_process);
  unsigned left = 1;
  fibers_.spawn([&] {
    ::getitimer(ITIMER_REAL, &of_task);
    left = ::alarm(0);
  });
  fibers_.run();
  EXPECT_GT(of_process.it_value.tv_sec, 90);
  EXPECT_EQ(of_task.it_value.tv_sec, 0);
  EXPECT_EQ(left, 0u);
  EXPECT_GT(::alarm(0), 90u);
}

TEST_F(TaskAlarms, EndsWithItsTask) {
  fibers_.spawn([] { ::alarm(5); });
  fibers_.spawn([] { ::sleep(1); });
  fibers_.run();
  EXPECT_TRUE(fibers_.scheduler().timers().empty());
}

TEST_F(TaskAlarms, EndsWithItsTaskAlsoWhenItsTimerIsAlreadyInTheReadyQueue) {
  set_handler(count);
  fibers_.spawn([&] {
    ::alarm(1);
    clock_.burn(2 * kSecond);
    runtime::yield_now();  // the timer is queued behind the task
  });
  fibers_.spawn([] { ::sleep(1); });
  fibers_.run();
  EXPECT_EQ(handled, 0);
}

TEST_F(TaskAlarms, IsNotInheritedByAForkedChild) {
  set_handler(count);
  int status = -1;
  fibers_.spawn([&] {
    ::alarm(5);
    const pid_t child = ::fork();
    if (child == 0) {
      itimerval seen{};
      const bool none = ::alarm(7) == 0 && ::getitimer(ITIMER_REAL, &seen) == 0 && seen.it_value.tv_sec > 0;
      ::_exit(none ? 42 : 1);
    }
    ::alarm(0);
    ::waitpid(child, &status, 0);
  });
  clock_.set_may_block(true);
  fibers_.run();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

// ---- when it comes

TEST_F(TaskAlarms, ComesAtTheNextWaitOfATaskThatComputes) {
  set_handler(count);
  Outcome seen;
  int handled_before = -1;
  fibers_.spawn([&] {
    ::alarm(1);
    clock_.burn(5 * kSecond);
    handled_before = handled;
    const timespec hour{3600, 0};
    seen = outcome_of([&] { return ::nanosleep(&hour, nullptr); });
  });
  fibers_.run();
  EXPECT_EQ(handled_before, 0);
  EXPECT_FAILS_WITH(EINTR, seen);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(now(), 5 * kSecond);
}

TEST_F(TaskAlarms, ComesAtTheLatestWhenItIsSetAgain) {
  set_handler(count);
  fibers_.spawn([&] {
    ::alarm(1);
    clock_.burn(5 * kSecond);
    EXPECT_EQ(::alarm(0), 0u);
    EXPECT_EQ(handled, 1);
    ::sleep(10);
  });
  fibers_.run();
  EXPECT_EQ(handled, 1);
}

TEST_F(TaskAlarms, ThatCameDuringAnotherKindOfWaitComesAtTheNextHookedOne) {
  set_handler(count);
  Outcome seen;
  fibers_.spawn([&] {
    ::alarm(1);
    runtime::Parker parker;  // as await() does
    parker.park(AIOFIBER_WAIT_SLEEP, 0, now() + 5 * kSecond);
    EXPECT_EQ(handled, 0);
    EXPECT_EQ(now(), 5 * kSecond);
    seen = outcome_of([] { return ::usleep(1'000'000); });
  });
  fibers_.run();
  EXPECT_FAILS_WITH(EINTR, seen);
  EXPECT_EQ(now(), 5 * kSecond);
}

TEST_F(TaskAlarms, ComesAfterACancellation) {
  set_handler(count);
  SocketPair sockets;
  Outcome first, second;
  runtime::Fiber& task = fibers_.spawn([&] {
    ::alarm(3);
    char byte;
    first = outcome_of([&] { return ::recv(sockets[0], &byte, 1, 0); });
    EXPECT_EQ(::alarm(0), 2u);  // still there
    ::alarm(1);
    runtime::current_fiber()->take_interrupted();  // the error was raised
    second = outcome_of([] { return ::usleep(2'000'000); });
  });
  fibers_.spawn([&] {
    ::sleep(1);
    EXPECT_TRUE(Fibers::interrupt(task));
  });
  fibers_.run();
  EXPECT_FAILS_WITH(ECANCELED, first);
  EXPECT_FAILS_WITH(EINTR, second);
}

TEST_F(TaskAlarms, ComesAgainAndAgainAtAnInterval) {
  set_handler(count);
  std::vector<Nanoseconds> times;
  fibers_.spawn([&] {
    const itimerval every{{2, 500'000}, {1, 0}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
    itimerval seen;
    for (int i = 0; i < 3; ++i) {
      ::sleep(100);
      times.push_back(now());
    }
    ::getitimer(ITIMER_REAL, &seen);
    EXPECT_EQ(seen.it_interval.tv_sec, 2);
    EXPECT_EQ(seen.it_interval.tv_usec, 500'000);
    EXPECT_EQ(seen.it_value.tv_sec, 2);
    const itimerval never{};
    itimerval old;
    ::setitimer(ITIMER_REAL, &never, &old);
    EXPECT_EQ(old.it_interval.tv_sec, 2);
    ::sleep(100);
  });
  fibers_.run();
  EXPECT_EQ(times, (std::vector<Nanoseconds>{kSecond, 3'500'000'000, 6 * kSecond}));
  EXPECT_EQ(handled, 3);
}

TEST_F(TaskAlarms, IsSetAgainByItsHandler) {
  set_handler([](int) {
    ++handled;
    ::alarm(2);
  });
  itimerval of_process{{0, 0}, {1, 0}};
  fibers_.spawn([&] {
    ::alarm(1);
    EXPECT_EQ(::sleep(10), 9u);
    EXPECT_EQ(::sleep(10), 8u);
    ::alarm(0);
  });
  fibers_.run();
  EXPECT_EQ(handled, 2);
  ::getitimer(ITIMER_REAL, &of_process);
  EXPECT_EQ(of_process.it_value.tv_sec + of_process.it_value.tv_usec, 0);
}

TEST_F(TaskAlarms, TellsWhatWasLeft) {
  set_handler(count);
  fibers_.spawn([&] {
    EXPECT_EQ(::alarm(10), 0u);
    ::usleep(400'000);
    EXPECT_EQ(::alarm(1), 10u);  // 9.6 s
    EXPECT_EQ(::ualarm(250, 0), 1'000'000u);
    EXPECT_EQ(::alarm(0), 1u);  // not 0, which would mean that there was none
    EXPECT_EQ(::alarm(0), 0u);
    itimerval wrong{{0, 0}, {0, 1'000'000}};
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::setitimer(ITIMER_REAL, &wrong, nullptr); }));
    itimerval seen{{1, 1}, {1, 1}};
    EXPECT_EQ(::getitimer(ITIMER_REAL, &seen), 0);
    EXPECT_EQ(seen.it_value.tv_sec + seen.it_value.tv_usec, 0);
  });
  fibers_.run();
}

// ---- which calls it ends

TEST_F(TaskAlarms, EndsEachKindOfWait) {
  set_handler(count);
  fibers_.spawn([] {
    SocketPair sockets;
    Pipe pipe;
    const int epoll = ::epoll_create1(0);
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[0], &event);
    char byte;
    pollfd entry{sockets[0], POLLIN, 0};
    fd_set readable;
    timespec left{};
    const auto ends = [](auto call) {
      ::alarm(1);
      const Outcome outcome = outcome_of(call);
      EXPECT_FAILS_WITH(EINTR, outcome);
    };
    ends([&] { return ::recv(sockets[0], &byte, 1, 0); });
    ends([&] { return ::read(sockets[0], &byte, 1); });
    ends([&] { return ::read(pipe[0], &byte, 1); });
    ends([&] { return ::poll(&entry, 1, -1); });
    ends([&] { return ::poll(nullptr, 0, 60'000); });
    ends([&] { return ::ppoll(&entry, 1, nullptr, nullptr); });
    ends([&] {
      FD_ZERO(&readable);
      FD_SET(sockets[0], &readable);
      return ::select(sockets[0] + 1, &readable, nullptr, nullptr, nullptr);
    });
    ends([&] { return ::pselect(0, nullptr, nullptr, nullptr, nullptr, nullptr); });
    ends([&] { return ::epoll_wait(epoll, &event, 1, -1); });
    ends([] { return ::usleep(60'000'000); });
    ends([&] {
      const timespec minute{60, 0};
      return ::nanosleep(&minute, &left);
    });
    EXPECT_EQ(left.tv_sec, 59);
    const timespec minute{60, 0};
    ::alarm(1);
    EXPECT_EQ(::clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, nullptr), EINTR);
    ::alarm(1);
    EXPECT_EQ(::sleep(60), 59u);
    ::close(epoll);
  });
  fibers_.run();
  EXPECT_EQ(handled, 13);
}

TEST_F(TaskAlarms, EndsAWaitForAConnectionAFileLockAndAChild) {
  set_handler(count);
  clock_.set_may_block(true);  // the child
  fibers_.spawn([] {
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_storage name{};
    name.ss_family = AF_UNIX;  // and no more: the kernel chooses a name
    ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    ::alarm(1);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::accept(listener, nullptr, nullptr); }));
    ::close(listener);

    char path[] = "/tmp/aiofiber_alarm_XXXXXX";
    const int mine = ::mkstemp(path), other = ::open(path, O_RDWR);
    ASSERT_EQ(::flock(mine, LOCK_EX), 0);
    ::alarm(1);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::flock(other, LOCK_EX); }));
    ::close(mine);
    ::close(other);
    ::unlink(path);

    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    ::alarm(1);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::waitpid(child, nullptr, 0); }));
    ::kill(child, SIGKILL);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  });
  fibers_.run();
  EXPECT_EQ(handled, 3);
}

TEST_F(TaskAlarms, EndsAWaitForASemaphore) {
  set_handler(count);
  sem_t semaphore;
  ::sem_init(&semaphore, 0, 0);
  fibers_.spawn([&] {
    ::alarm(2);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::sem_wait(&semaphore); }));
    EXPECT_EQ(now(), 2 * kSecond);
    EXPECT_EQ(handled, 1);
    const timespec far{4'000'000'000, 0};
    ::alarm(2);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::sem_timedwait(&semaphore, &far); }));
    EXPECT_EQ(now(), 4 * kSecond);
    set_handler(count, SA_RESTART);
    ::alarm(2);
    EXPECT_EQ(::sem_wait(&semaphore), 0) << "goes on";
    EXPECT_EQ(now(), 10 * kSecond);
    EXPECT_EQ(handled, 3);
  });
  fibers_.spawn([&] {
    ::sleep(10);
    ::sem_post(&semaphore);
  });
  fibers_.run();
  ::sem_destroy(&semaphore);
}

TEST_F(TaskAlarms, LeavesTheBytesThatWereMoved) {
  set_handler(count);
  SocketPair sockets;
  char buffer[8];
  ssize_t received = 0;
  fibers_.spawn([&] {
    ::alarm(1);
    received = ::recv(sockets[0], buffer, sizeof buffer, MSG_WAITALL);
  });
  fibers_.spawn([&] { ::send(sockets[1], "abc", 3, 0); });
  fibers_.run();
  EXPECT_EQ(received, 3);
  EXPECT_EQ(handled, 1);
}

// ---- flags of the handler

TEST_F(TaskAlarms, LetsACallGoOnWithSaRestartButNotASleepOrAPoll) {
  ::signal(SIGALRM, count);  // in glibc with SA_RESTART
  SocketPair sockets;
  char byte = 0;
  fibers_.spawn([&] {
    ::alarm(1);
    EXPECT_EQ(::recv(sockets[0], &byte, 1, 0), 1);
    EXPECT_EQ(now(), 5 * kSecond);
    EXPECT_EQ(handled, 1);
    ::alarm(1);
    EXPECT_EQ(::sleep(10), 9u);
    pollfd entry{sockets[0], POLLIN, 0};
    ::alarm(1);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::poll(&entry, 1, -1); }));
    const timeval limit{60, 0};  // a call with a time limit is not restarted
    ::setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::alarm(1);
    EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::recv(sockets[0], &byte, 1, 0); }));
  });
  fibers_.spawn([&] {
    ::sleep(5);
    ::send(sockets[1], "x", 1, 0);
  });
  fibers_.run();
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(handled, 4);
}

TEST_F(TaskAlarms, GivesTheHandlerItsInformationWithSaSiginfo) {
  static int signo, code;
  static bool has_context;
  struct sigaction action {};
  action.sa_sigaction = [](int number, siginfo_t* info, void* context) {
    signo = number == info->si_signo ? number : 0;
    code = info->si_code;
    has_context = context != nullptr;
  };
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGALRM, &action, nullptr);
  fibers_.spawn([] {
    ::alarm(1);
    ::sleep(5);
  });
  fibers_.run();
  EXPECT_EQ(signo, SIGALRM);
  EXPECT_EQ(code, SI_KERNEL);
  EXPECT_TRUE(has_context);
}

// As signal() of strict C has it. The action is one for all tasks.
TEST_F(TaskAlarms, LeavesTheHandlerToOtherTasksAlsoWithSaResethand) {
  const auto wait_for_alarm = [] {
    ::__sysv_signal(SIGALRM, count);
    ::alarm(1);
    EXPECT_FAILS_WITH(EINTR, outcome_of([] { return ::poll(nullptr, 0, 5000); }));
  };
  fibers_.spawn(wait_for_alarm);
  fibers_.spawn(wait_for_alarm);
  fibers_.run();
  EXPECT_EQ(handled, 2);
}

TEST_F(TaskAlarms, IsNotNoticedIfTheSignalIsIgnored) {
  ::signal(SIGALRM, SIG_IGN);
  fibers_.spawn([&] {
    ::alarm(1);
    EXPECT_EQ(::sleep(5), 0u);
    EXPECT_EQ(now(), 5 * kSecond);
  });
  fibers_.run();
}

TEST_F(TaskAlarms, EndsTheProcessIfThereIsNoHandler) {
  const auto no_handler = [] {  // in a forked child
    runtime::VirtualClock clock;
    Fibers fibers(clock);
    fibers.spawn([] {
      ::alarm(1);
      ::sleep(5);
    });
    fibers.run();
  };
  EXPECT_EXIT(no_handler(), testing::KilledBySignal(SIGALRM), "");
}

TEST_F(TaskAlarms, BlocksTheSignalsOfTheHandlersMaskMeanwhile) {
  static bool blocked;
  struct sigaction action {};
  action.sa_handler = [](int) {
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    blocked = sigismember(&mask, SIGUSR1) == 1;
  };
  sigaddset(&action.sa_mask, SIGUSR1);
  ::sigaction(SIGALRM, &action, nullptr);
  fibers_.spawn([] {
    ::alarm(1);
    ::sleep(5);
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, SIGUSR1), 0);
  });
  fibers_.run();
  EXPECT_TRUE(blocked);
}

TEST_F(TaskAlarms, WaitsWhileTheThreadBlocksTheSignal) {
  set_handler(count);
  sigset_t alarm_signal, before;
  sigemptyset(&alarm_signal);
  sigaddset(&alarm_signal, SIGALRM);
  fibers_.spawn([&] {
    ::pthread_sigmask(SIG_BLOCK, &alarm_signal, &before);
    ::alarm(1);
    EXPECT_EQ(::sleep(5), 0u);
    EXPECT_EQ(handled, 0);
    // pselect lets it in for the time of the call.
    EXPECT_FAILS_WITH(EINTR,
                      outcome_of([&] { return ::pselect(0, nullptr, nullptr, nullptr, nullptr, &before); }));
    EXPECT_EQ(handled, 1);
    ::alarm(1);
    EXPECT_EQ(::sleep(5), 0u);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    EXPECT_EQ(::sleep(5), 5u);
  });
  fibers_.run();
  EXPECT_EQ(handled, 2);
}

// ---- time limits, as C programs have them

sigjmp_buf too_late;

void jump_out(int) { siglongjmp(too_late, 1); }

// Reads a line's worth within the limit; -2: too late.
int read_within(unsigned seconds, int fd, char* buffer, std::size_t size) {
  if (sigsetjmp(too_late, 1)) return -2;
  ::signal(SIGALRM, jump_out);
  ::alarm(seconds);
  const ssize_t count = ::read(fd, buffer, size);
  ::alarm(0);
  return static_cast<int>(count);
}

TEST_F(TaskAlarms, MakeTheClassicTimeLimitWorkInManyTasksAtOnce) {
  if (!kJumpsAreKnown) GTEST_SKIP();
  constexpr unsigned kTasks = 25;
  std::array<SocketPair, kTasks> sockets;
  std::array<int, kTasks> results{};
  std::array<Nanoseconds, kTasks> ended{};
  for (unsigned i = 0; i < kTasks; ++i) {
    fibers_.spawn([&, i] {
      char buffer[16];
      results[i] = read_within(1 + (i * 7) % kTasks, sockets[i][0], buffer, sizeof buffer);
      ended[i] = now();
      EXPECT_EQ(runtime::current_fiber()->hooks_off, 0u);
      ::sleep(1);  // hooks act again
    });
  }
  // A third of them gets an answer in time.
  fibers_.spawn([&] {
    ::usleep(500'000);
    for (unsigned i = 0; i < kTasks; i += 3) ::send(sockets[i][1], "yes", 3, 0);
  });
  fibers_.run();
  for (unsigned i = 0; i < kTasks; ++i) {
    EXPECT_EQ(results[i], i % 3 == 0 ? 3 : -2) << i;
    EXPECT_EQ(ended[i], i % 3 == 0 ? kSecond / 2 : (1 + (i * 7) % kTasks) * kSecond) << i;
  }
}

TEST_F(TaskAlarms, MakeTheClassicTimeLimitWorkAgainAndAgain) {
  if (!kJumpsAreKnown) GTEST_SKIP();
  SocketPair sockets;
  fibers_.spawn([&] {
    char buffer[16];
    for (unsigned round = 1; round <= 3; ++round) {
      const Nanoseconds start = now();
      EXPECT_EQ(read_within(round, sockets[0], buffer, sizeof buffer), -2);
      EXPECT_EQ(now() - start, round * kSecond);
    }
    ::send(sockets[1], "yes", 3, 0);
    EXPECT_EQ(read_within(1, sockets[0], buffer, sizeof buffer), 3);
  });
  fibers_.run();
}

volatile sig_atomic_t rang;

// The other idiom: a flag, and a call that fails with EINTR.
int poll_within(unsigned seconds, int fd) {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) { rang = 1; };
  ::sigaction(SIGALRM, &action, &before);
  rang = 0;
  ::alarm(seconds);
  pollfd entry{fd, POLLIN, 0};
  const int ready = ::poll(&entry, 1, -1);
  const int error = errno;
  ::alarm(0);
  ::sigaction(SIGALRM, &before, nullptr);
  return ready < 0 && error == EINTR && rang != 0 ? -2 : ready;
}

TEST_F(TaskAlarms, MakeTheLimitWithAFlagWorkInTwoTasks) {
  SocketPair silent, talking;
  int first = 0, second = 0;
  fibers_.spawn([&] { first = poll_within(5, silent[0]); });
  fibers_.spawn([&] { second = poll_within(7, talking[0]); });
  fibers_.spawn([&] {
    ::sleep(6);
    ::send(talking[1], "x", 1, 0);
  });
  fibers_.run();
  EXPECT_EQ(first, -2);
  EXPECT_EQ(second, 1);
}

// The task that jumped away no longer stands in the queue: a post goes to the next one.
TEST_F(TaskAlarms, MakeATimeLimitAroundASemaphoreWork) {
  if (!kJumpsAreKnown) GTEST_SKIP();
  sem_t semaphore;
  ::sem_init(&semaphore, 0, 0);
  volatile int late = 0;
  bool posted = false;
  fibers_.spawn([&] {
    ::signal(SIGALRM, jump_out);
    if (sigsetjmp(too_late, 1) == 0) {
      ::alarm(2);
      ::sem_wait(&semaphore);
    } else {
      late = 1;
      ::sleep(5);
    }
  });
  fibers_.spawn([&] { posted = ::sem_wait(&semaphore) == 0; });
  fibers_.spawn([&] {
    ::sleep(3);
    ::sem_post(&semaphore);
  });
  fibers_.run();
  EXPECT_EQ(late, 1);
  EXPECT_TRUE(posted);
  ::sem_destroy(&semaphore);
}

TEST_F(TaskAlarms, MakeATimeLimitAroundStdioWork) {
  if (!kJumpsAreKnown) GTEST_SKIP();
  ASSERT_TRUE(hooks::enable_stdio());
  SocketPair sockets;
  std::FILE* const file = ::fdopen(::dup(sockets[0]), "r");
  static sigjmp_buf line_late;
  char line[16] = {};
  volatile int late = 0;
  fibers_.spawn([&] {
    ::signal(SIGALRM, [](int) { siglongjmp(line_late, 1); });
    if (sigsetjmp(line_late, 1) != 0) {
      late = 1;
    } else {
      ::alarm(2);
      EXPECT_EQ(std::fgets(line, sizeof line, file), nullptr) << "nothing was sent";
    }
    ::send(sockets[1], "again\n", 6, 0);
    EXPECT_NE(std::fgets(line, sizeof line, file), nullptr);
  });
  fibers_.run();
  EXPECT_EQ(late, 1);
  EXPECT_STREQ(line, "again\n");
  std::fclose(file);
}

}  // namespace
}  // namespace aiofiber::hooks_test
