// SPDX-License-Identifier: Apache-2.0
//
// aiofiber_run(): results, errors, Ctrl-C. In real time, some milliseconds each.
#include <aiofiber.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace {

void* returns_argument(void* pointer) { return pointer; }

TEST(CRun, GivesWhatTheMainTaskReturns) {
  int value = 0;
  void* result = nullptr;
  EXPECT_EQ(aiofiber_run(returns_argument, &value, nullptr, &result), 0);
  EXPECT_EQ(result, &value);
  EXPECT_EQ(aiofiber_run(returns_argument, &value, nullptr, nullptr), 0);
}

TEST(CRun, NamesTheMainTask) {
  aiofiber_task_options options = AIOFIBER_TASK_OPTIONS;
  options.name = "main";
  const auto look = [](void*) -> void* {
    char name[16];
    EXPECT_EQ(aiofiber_name(name, sizeof name), 4);
    EXPECT_STREQ(name, "main");
    return nullptr;
  };
  EXPECT_EQ(aiofiber_run(look, nullptr, &options, nullptr), 0);
  options.size = 1;
  EXPECT_EQ(aiofiber_run(look, nullptr, &options, nullptr), AIOFIBER_INVALID);
  EXPECT_EQ(aiofiber_run(nullptr, nullptr, nullptr, nullptr), AIOFIBER_INVALID);
}

TEST(CRun, InALoopIsRefused) {
  const auto nested = [](void*) -> void* {
    EXPECT_EQ(aiofiber_run(returns_argument, nullptr, nullptr, nullptr), AIOFIBER_BUSY);
    return nullptr;
  };
  EXPECT_EQ(aiofiber_run(nested, nullptr, nullptr, nullptr), 0);
}

TEST(CRun, CancelsTheTasksThatAreLeftAndWaitsForThem) {
  static int code;
  code = 1;
  const auto leaves_one = [](void*) -> void* {
    const auto left = [](void*) -> void* {
      code = aiofiber_sleep(3600);
      return nullptr;
    };
    EXPECT_EQ(aiofiber_spawn(left, nullptr, nullptr, nullptr), 0);
    EXPECT_EQ(aiofiber_sleep(0), 0);
    return nullptr;
  };
  EXPECT_EQ(aiofiber_run(leaves_one, nullptr, nullptr, nullptr), 0);
  EXPECT_EQ(code, AIOFIBER_CANCELLED);
}

TEST(CRun, ACxxExceptionOfTheMainTaskIsACode) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(aiofiber_run([](void*) -> void* { throw std::string("boom"); }, nullptr, nullptr, nullptr),
            AIOFIBER_FAILED);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("a C++ exception left the function"),
            std::string::npos);
}

// In a child process, because it is the main thread that Ctrl-C interrupts.
TEST(CRun, CtrlCCancelsTheMainTask) {
  const pid_t child = fork();
  if (child == 0) {
    void* result = nullptr;
    int code = 1;
    const auto body = [](void* pointer) -> void* {
      raise(SIGINT);
      *static_cast<int*>(pointer) = aiofiber_sleep(3600);
      return pointer;
    };
    const int error = aiofiber_run(body, &code, nullptr, &result);
    const bool as_said = error == AIOFIBER_INTERRUPTED && code == AIOFIBER_CANCELLED && result == &code;
    if (!as_said) _exit(1);
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

}  // namespace
