// SPDX-License-Identifier: Apache-2.0
//
// Calls that suspend a task although the kernel has no descriptor for them: children, the disk, file locks,
// names of hosts and users, the system's log. Real processes (sh, sleep) and real time.
// Not for ThreadSanitizer, which reports a mutex that is handed over as locked twice.
//
// Labels: long
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <resolv.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <syslog.h>
#include <threads.h>

#include <set>
#include <thread>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

// A child that ends with `code` after some milliseconds.
pid_t child_that_exits(int code, int after_ms) {
  const pid_t child = ::fork();
  if (child == 0) {
    const timespec time{0, after_ms * 1'000'000L};
    ::nanosleep(&time, nullptr);
    ::_exit(code);
  }
  return child;
}

TEST(HookedWaitpid, OfTwentyChildrenTakesAsLongAsTheSlowest) {
  Fibers fibers;
  const double start = now_ms();
  int reaped = 0;
  for (int i = 0; i < 20; ++i) {
    fibers.spawn([&, i] {
      const pid_t child = child_that_exits(i, 50);
      int status = 0;
      EXPECT_EQ(::waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status));
      EXPECT_EQ(WEXITSTATUS(status), i);
      ++reaped;
    });
  }
  fibers.run();
  EXPECT_EQ(reaped, 20);
  EXPECT_LT(now_ms() - start, 500);  // one after the other: 1000 ms
}

TEST(HookedWaitpid, GivesEchildAndEcanceledAsItShould) {
  Fibers fibers;
  pid_t child = 0;
  runtime::Fiber& waiter = fibers.spawn([&] {
    EXPECT_FAILS_WITH(ECHILD, outcome_of([] { return ::waitpid(::getpid(), nullptr, 0); }));
    child = child_that_exits(0, 200);
    EXPECT_FAILS_WITH(ECANCELED, outcome_of([&] { return ::waitpid(child, nullptr, 0); }));
  });
  fibers.spawn([&] {
    sleep_ms(10);
    EXPECT_TRUE(Fibers::interrupt(waiter));
  });
  fibers.run();
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);  // it was left alone
}

TEST(HookedWait, TakesAnyChildAndSeesOnesThatStop) {
  Fibers fibers;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    const pid_t first = child_that_exits(1, 10);
    int status = 0;
    EXPECT_EQ(::wait(&status), first);
    EXPECT_EQ(WEXITSTATUS(status), 1);

    const pid_t second = child_that_exits(2, 10);
    rusage usage{};
    EXPECT_EQ(::wait4(second, &status, 0, &usage), second);

    const pid_t third = ::fork();
    if (third == 0) {
      ::raise(SIGSTOP);
      ::_exit(3);
    }
    EXPECT_EQ(::waitpid(third, &status, WUNTRACED), third);
    EXPECT_TRUE(WIFSTOPPED(status));
    ::kill(third, SIGCONT);
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(third), &info, WEXITED), 0);
    EXPECT_EQ(info.si_pid, third);
    EXPECT_EQ(info.si_status, 3);
    ticker.stop();
  });
  fibers.run();
  EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
}

TEST(HookedSystem, RunsTenCommandsAtOnce) {
  Fibers fibers;
  const double start = now_ms();
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([i] {
      const std::string command = "sleep 0.1; exit " + std::to_string(i);
      const int status = ::system(command.c_str());
      EXPECT_EQ(WEXITSTATUS(status), i);
    });
  }
  fibers.run();
  EXPECT_LT(now_ms() - start, 800);
}

TEST(HookedPclose, WaitsForTheCommandWithoutBlockingTheThread) {
  Fibers fibers;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    std::FILE* command = ::popen("sleep 0.05; exit 7", "r");
    ASSERT_NE(command, nullptr);
    EXPECT_EQ(WEXITSTATUS(::pclose(command)), 7);
    ticker.stop();
  });
  fibers.run();
  EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
}

// ---- the disk

TEST(HookedFsync, AndItsKinKeepTheirResults) {
  Fibers fibers;
  char name[] = "/tmp/aiofiber_sync_XXXXXX";
  const int fd = ::mkstemp(name);
  ::unlink(name);
  fibers.spawn([&] {
    EXPECT_EQ(::write(fd, "x", 1), 1);
    errno = 99;
    EXPECT_EQ(::fsync(fd), 0);
    EXPECT_EQ(errno, 99);
    EXPECT_EQ(::fdatasync(fd), 0);
    EXPECT_EQ(::posix_fallocate(fd, 0, 4096), 0);
    EXPECT_EQ(::posix_fallocate(-1, 0, 4096), EBADF);
    void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_NE(memory, MAP_FAILED);
    EXPECT_EQ(::msync(memory, 4096, MS_SYNC), 0);
    ::munmap(memory, 4096);
    EXPECT_FAILS_WITH(EBADF, outcome_of([] { return ::fsync(-1); }));
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] {
                        Pipe pipe;
                        return ::fdatasync(pipe[0]);
                      }));
  });
  fibers.run();
  ::close(fd);
}

// ---- locks on files

struct LockedFile {
  LockedFile() {
    char text[] = "/tmp/aiofiber_lock_XXXXXX";
    ::close(::mkstemp(text));
    name = text;
  }
  ~LockedFile() { ::unlink(name.c_str()); }
  int open() const { return ::open(name.c_str(), O_RDWR | O_CLOEXEC); }
  std::string name;
};

TEST(HookedFlock, WaitsForAnotherTasksLock) {
  Fibers fibers;
  const LockedFile file;
  bool held = false;
  int turns = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      const int fd = file.open();
      ASSERT_EQ(::flock(fd, LOCK_EX), 0);
      EXPECT_FALSE(held);
      held = true;
      sleep_ms(3);
      held = false;
      ++turns;
      EXPECT_EQ(::flock(fd, LOCK_UN), 0);
      ::close(fd);
    });
  }
  fibers.run();
  EXPECT_EQ(turns, 5);
}

TEST(HookedFlock, IsReleasedByItsTaskThoughAnotherOnlyTries) {
  Fibers fibers;
  const LockedFile file;
  const double start = now_ms();
  fibers.spawn([&] {
    const int fd = file.open();
    ASSERT_EQ(::flock(fd, LOCK_EX), 0);
    sleep_ms(3);
    ::close(fd);
  });
  fibers.spawn([&] {
    const int fd = file.open();
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0 && now_ms() - start < 2000) {
    }
    EXPECT_LT(now_ms() - start, 2000);
    ::close(fd);
  });
  fibers.run();
}

// The child ends when another task has had its turns.
TEST(HookedWaitpid, LetsOthersRunThoughTheCallerOnlyAsksAgain) {
  Fibers fibers;
  const Pipe pipe;
  const double start = now_ms();
  fibers.spawn([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      char byte;
      ::_exit(::read(pipe[0], &byte, 1) == 1 ? 7 : 0);
    }
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      if (now_ms() - start > 5000) ::kill(child, SIGKILL);
    }
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  });
  fibers.spawn([&] {
    for (int i = 0; i < 5; ++i) sleep_ms(1);
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  });
  fibers.run();
}

TEST(HookedFlock, CanBeCancelled) {
  Fibers fibers;
  const LockedFile file;
  const int holder = file.open();
  ASSERT_EQ(::flock(holder, LOCK_EX), 0);
  const int fd = file.open();
  runtime::Fiber& waiter = fibers.spawn([&] {
    EXPECT_FAILS_WITH(EWOULDBLOCK, outcome_of([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }));
    EXPECT_FAILS_WITH(ECANCELED, outcome_of([&] { return ::flock(fd, LOCK_EX); }));
  });
  fibers.spawn([&] {
    sleep_ms(10);
    while (!Fibers::interrupt(waiter)) sleep_ms(1);  // it may be about to try again just now
  });
  fibers.run();
  ::close(fd);
  ::close(holder);
}

TEST(HookedFcntl, WaitsForALockOfAnotherDescription) {
  Fibers fibers;
  const LockedFile file;
  const int holder = file.open();
  const int waiter = file.open();
  struct flock whole {};
  whole.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(holder, F_OFD_SETLK, &whole), 0);
  bool released = false;
  fibers.spawn([&] {
    struct flock wanted = whole;
    EXPECT_EQ(::fcntl(waiter, F_OFD_SETLKW, &wanted), 0);
    EXPECT_TRUE(released);
    EXPECT_EQ(::fcntl(waiter, F_GETFD), FD_CLOEXEC);  // commands without an argument, and with a number
    EXPECT_EQ(::fcntl(waiter, F_SETFD, 0), 0);
    EXPECT_EQ(::fcntl(waiter, F_GETFD), 0);
  });
  fibers.spawn([&] {
    sleep_ms(10);
    released = true;
    ::close(holder);
  });
  fibers.run();
  ::close(waiter);
}

// ---- names

TEST(HookedGetpwnam, KeepsEachTasksResult) {
  Fibers fibers;
  std::set<const void*> places;
  for (int i = 0; i < 3; ++i) {
    fibers.spawn([&] {
      const passwd* root = ::getpwnam("root");
      ASSERT_NE(root, nullptr);
      places.insert(root);
      sleep_ms(3);
      EXPECT_STREQ(root->pw_name, "root");
      EXPECT_EQ(root->pw_uid, 0u);
      const group* group = ::getgrgid(0);
      ASSERT_NE(group, nullptr);
      EXPECT_STREQ(group->gr_name, "root");
      errno = 0;
      EXPECT_EQ(::getpwnam("no such user here"), nullptr);
      EXPECT_EQ(errno, 0);
    });
  }
  fibers.run();
  EXPECT_EQ(places.size(), 3u);
}

TEST(HookedGethostbyname, FindsLocalhostAndReportsWhatItDoesNotFind) {
  Fibers fibers;
  fibers.spawn([] {
    const hostent* host = ::gethostbyname("localhost");
    ASSERT_NE(host, nullptr);
    EXPECT_EQ(host->h_addrtype, AF_INET);
    hostent entry;
    hostent* found = nullptr;
    char memory[1024];
    int error = 0;
    EXPECT_EQ(::gethostbyname_r("127.0.0.1", &entry, memory, sizeof memory, &found, &error), 0);
    EXPECT_EQ(found, &entry);
    EXPECT_EQ(::gethostbyname_r("localhost", &entry, memory, 8, &found, &error), ERANGE);
    h_errno = 0;
    EXPECT_EQ(::gethostbyname("an impossible name"), nullptr);
    EXPECT_NE(h_errno, 0);
  });
  fibers.run();
}

TEST(HookedSyslog, ReturnsWithErrnoKept) {
  Fibers fibers;
  fibers.spawn([] {
    errno = 77;
    ::syslog(LOG_DEBUG, "aiofiber test: %d %m", 1);
    EXPECT_EQ(errno, 77);
  });
  fibers.run();
}

// ---- sleeping and yielding by other names

TEST(HookedThrdSleep, SuspendsTheFiberOnly) {
  Fibers fibers;
  const double start = now_ms();
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([] {
      const timespec time{0, 20'000'000};
      EXPECT_EQ(::thrd_sleep(&time, nullptr), 0);
    });
  }
  fibers.run();
  EXPECT_LT(now_ms() - start, 150);
}

TEST(HookedSchedYield, LetsTheOthersRun) {
  Fibers fibers;
  bool flag = false;
  fibers.spawn([&] {
    while (!flag) ::sched_yield();
  });
  fibers.spawn([&] { flag = true; });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
