// SPDX-License-Identifier: Apache-2.0
//
// Files by their names: libc's own unless asked for, on the pool then, with the same results; never cut
// short.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "aiofiber/hooks.h"
#include "fibers.h"

namespace aiofiber::hooks_test {
namespace {

// A fresh folder, and the option on for as long as it lives.
class OnPool {
 public:
  OnPool() {
    EXPECT_NE(::mkdtemp(folder_), nullptr);
    EXPECT_TRUE(hooks::set_files_on_pool(true));
  }
  ~OnPool() {
    hooks::set_files_on_pool(false);
    std::filesystem::remove_all(folder_);
  }
  OnPool(const OnPool&) = delete;
  OnPool& operator=(const OnPool&) = delete;
  std::string path(const char* name) const { return std::string(folder_) + "/" + name; }

 private:
  char folder_[40] = "/tmp/aiofiber_file_names_XXXXXX";
};

// Counts the turns that others get.
struct Turns {
  explicit Turns(Fibers& fibers) {
    fibers.spawn([this] {
      while (!stopped) {
        ++count;
        runtime::yield_now();
      }
    });
  }
  int count = 0;
  bool stopped = false;
};

// The call gives `value` and lets the others run meanwhile.
#define EXPECT_SUSPENDS(value, call)                          \
  do {                                                        \
    const int before_ = turns.count;                          \
    EXPECT_EQ((call), (value)) << #call << ::strerror(errno); \
    EXPECT_GT(turns.count, before_) << #call;                 \
  } while (false)

TEST(FileNames, OnThePoolLetTheOthersRun) {
  const OnPool files;
  const std::string a = files.path("a"), b = files.path("b"), c = files.path("c"),
                    folder = files.path("folder");
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    runtime::yield_now();
    int fd = -1;
    const int before = turns.count;
    fd = ::open(a.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    ASSERT_GE(fd, 0);
    EXPECT_GT(turns.count, before);
    struct stat status {};
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u & ~([] {
                                       const mode_t mask = ::umask(0);
                                       ::umask(mask);
                                       return mask;
                                     }()))
        << "the mode is handed on";
    EXPECT_SUSPENDS(0, ::ftruncate(fd, 100));
    EXPECT_SUSPENDS(0, ::truncate(a.c_str(), 50));
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_size, 50);
    ::close(fd);
    EXPECT_SUSPENDS(0, ::rename(a.c_str(), b.c_str()));
    EXPECT_SUSPENDS(0, ::renameat(AT_FDCWD, b.c_str(), AT_FDCWD, a.c_str()));
    EXPECT_SUSPENDS(0, ::link(a.c_str(), b.c_str()));
    EXPECT_SUSPENDS(0, ::symlink("a", c.c_str()));
    EXPECT_SUSPENDS(0, ::unlink(c.c_str()));
    EXPECT_SUSPENDS(0, ::unlinkat(AT_FDCWD, b.c_str(), 0));
    EXPECT_SUSPENDS(0, ::mkdir(folder.c_str(), 0700));
    EXPECT_SUSPENDS(0, ::rmdir(folder.c_str()));
    EXPECT_SUSPENDS(0, ::remove(a.c_str()));
    EXPECT_SUSPENDS(-1, ::open(a.c_str(), O_RDONLY));
    EXPECT_EQ(errno, ENOENT);
    errno = ERANGE;
    EXPECT_SUSPENDS(0, ::mkdirat(AT_FDCWD, folder.c_str(), 0700));
    EXPECT_EQ(errno, ERANGE) << "a success leaves it alone";
    turns.stopped = true;
  });
  fibers.run();
}

TEST(FileNames, AreLibcsUnlessAskedFor) {
  const OnPool files;
  hooks::set_files_on_pool(false);
  const std::string a = files.path("a");
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    const int before = turns.count;
    const int fd = ::open(a.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_GE(fd, 0);
    ::close(fd);
    EXPECT_EQ(::unlink(a.c_str()), 0);
    EXPECT_EQ(turns.count, before);
    turns.stopped = true;
  });
  fibers.run();
}

TEST(FileNames, BothEndsOfAFifoOpenInOneThread) {
  const OnPool files;
  const std::string fifo = files.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  Fibers fibers;
  char byte = 0;
  fibers.spawn([&] {
    const int fd = ::open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(::read(fd, &byte, 1), 1);
    ::close(fd);
  });
  fibers.spawn([&] {
    const int fd = ::openat(AT_FDCWD, fifo.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(::write(fd, "x", 1), 1);
    ::close(fd);
  });
  fibers.run();
  EXPECT_EQ(byte, 'x');
}

TEST(FileNames, AreServedThoughTheTaskIsCancelled) {
  const OnPool files;
  const std::string folder = files.path("folder");
  Fibers fibers;
  runtime::Fiber& cancelled = fibers.spawn([&] {
    sleep_ms(5000);
    EXPECT_EQ(::mkdir(folder.c_str(), 0700), 0) << ::strerror(errno);
    EXPECT_EQ(::rmdir(folder.c_str()), 0) << ::strerror(errno);
  });
  fibers.spawn([&] { Fibers::interrupt(cancelled); });
  fibers.run();
}

// It shares the task's memory, and must not suspend it.
TEST(FileNames, OfAVforkedChildAreLibcs) {
  const OnPool files;
  const std::string folder = files.path("folder");
  Fibers fibers;
  int status = -1;
  fibers.spawn([&] {
    const pid_t child = ::vfork();
    if (child == 0) ::_exit(::mkdir(folder.c_str(), 0700) == 0 ? 7 : 1);
    EXPECT_EQ(::waitpid(child, &status, 0), child);
  });
  fibers.run();
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// Run with AIOFIBER_FILES_ON_POOL=1, and without.
TEST(FileNames, GoToThePoolIfTheEnvironmentSaysSo) {
  const char* const wanted = ::getenv("AIOFIBER_FILES_ON_POOL");
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    runtime::yield_now();
    const int before = turns.count;
    EXPECT_EQ(::unlink("/no/such/file"), -1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(turns.count > before, wanted != nullptr);
    turns.stopped = true;
  });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
