// SPDX-License-Identifier: Apache-2.0
//
// Tasks that wait for the end of a child process (runtime/child_wait.h).
//
// Real processes, so a real clock. Each child lives until the test closes its pipe, so nothing depends on
// speed.
#include <aiofiber/asyncio.h>
#include <aiofiber/runtime/engine/child_wait.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using runtime::child_wait;
using runtime::FdWaitResult;

// A child that ends with code 3 when it is told to.
class Child {
 public:
  Child() {
    if (pipe(pipe_) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    pid_ = fork();
    if (pid_ == 0) {
      close(pipe_[1]);
      char nothing;
      while (read(pipe_[0], &nothing, 1) < 0) {
      }
      _exit(3);
    }
    close(pipe_[0]);
  }
  ~Child() {
    end();
    reap();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void end() {
    if (pipe_[1] >= 0) close(pipe_[1]);
    pipe_[1] = -1;
  }
  // Its exit code, -1 if it is reaped already. Blocks while it lives.
  int reap(int options = 0) {
    int status = 0;
    return waitpid(pid_, &status, options) == pid_ && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  int pipe_[2];
  pid_t pid_;
};

// Not on kernels without pidfd_open(2): child_wait() says so, and the hooks look at intervals instead.
class ChildWait : public testing::Test {
  void SetUp() override {
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
    if (fd < 0) GTEST_SKIP() << "no pidfd_open(2) here";
    close(fd);
  }
};

int error_of(pid_t pid) {
  try {
    child_wait(pid);
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

TEST_F(ChildWait, ResumesEveryWaiterWhenTheChildEndsAndDoesNotReapIt) {
  run([] {
    Child child;
    int resumed = 0;
    const auto wait_for_it = [&] { resumed += child_wait(child.pid()).ready() ? 1 : 0; };
    auto first = create_task(wait_for_it);
    auto second = create_task(wait_for_it);
    await(sleep(0s));
    EXPECT_EQ(resumed, 0);
    child.end();
    await(gather(first, second));
    EXPECT_EQ(resumed, 2);
    EXPECT_EQ(child.reap(WNOHANG), 3);
  });
}

TEST_F(ChildWait, OfAChildThatHasEndedReturnsAtTheNextPoll) {
  run([] {
    Child child;
    child.end();
    child_wait(child.pid());
    EXPECT_TRUE(child_wait(child.pid(), 1'000'000'000).ready());
  });
}

TEST_F(ChildWait, TimesOut) {
  run([] {
    Child child;
    const FdWaitResult result = child_wait(child.pid(), 1'000'000);
    EXPECT_TRUE(result.timed_out);
    EXPECT_FALSE(result.ready());
  });
}

TEST_F(ChildWait, IsInterruptedByACancellation) {
  run([] {
    Child child;
    FdWaitResult result;
    auto task = create_task([&] { result = child_wait(child.pid()); });
    await(sleep(0s));
    task.cancel();
    EXPECT_THROW(await(task), CancelledError);
    EXPECT_TRUE(result.interrupted);
  });
}

TEST_F(ChildWait, SaysWhyItCannotWait) {
  run([] {
    EXPECT_EQ(error_of(0), EINVAL);
    EXPECT_EQ(error_of(-1), EINVAL);
    Child child;
    child.end();
    EXPECT_EQ(child.reap(), 3);
    EXPECT_EQ(error_of(child.pid()), ESRCH);
  });
}

}  // namespace
}  // namespace aiofiber
