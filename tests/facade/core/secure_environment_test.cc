// SPDX-License-Identifier: Apache-2.0
//
// A program with more rights than its caller ignores aiofiber's environment variables: otherwise it would
// write files for strangers.
//
// The test makes a setuid copy of itself and starts it as another user. This needs root; otherwise the test
// is skipped.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "aiofiber/asyncio.h"

namespace {

namespace aio = aiofiber;

constexpr uid_t kNobody = 65534;
constexpr int kIgnored = 40, kHeeded = 41, kNotPrivileged = 42;

// The child: whether AIOFIBER_TRACE and AIOFIBERDEBUG had an effect.
TEST(PrivilegedProgram, DISABLED_Child) {
  bool debug = false;
  aio::run([&] { debug = aio::get_running_loop().get_debug(); });
  aio::stop_trace();
  const bool traced = ::access(::getenv("AIOFIBER_TRACE"), F_OK) == 0;
  ::_exit(::getauxval(AT_SECURE) == 0 ? kNotPrivileged : debug || traced ? kHeeded : kIgnored);
}

class SecureEnvironment : public ::testing::Test {
 protected:
  SecureEnvironment() {
    char pattern[] = "/tmp/aiofiber-secure-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    ::chmod(folder_.c_str(), 0777);
    std::filesystem::copy_file("/proc/self/exe", program());
  }
  ~SecureEnvironment() override { std::filesystem::remove_all(folder_); }

  std::string program() const { return folder_ + "/program"; }

  // The exit code of the copy, which another user starts.
  int run_as_a_stranger(mode_t mode) const {
    const std::string file = program();
    ::chmod(file.c_str(), mode);
    const std::string trace = "AIOFIBER_TRACE=" + folder_ + "/trace.json";
    const char* const arguments[] = {file.c_str(), "--gtest_filter=PrivilegedProgram.DISABLED_Child",
                                     "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr};
    const char* const environment[] = {trace.c_str(), "AIOFIBERDEBUG=1", nullptr};
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(1);
      ::execve(arguments[0], const_cast<char**>(arguments), const_cast<char**>(environment));
      ::_exit(2);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  std::string folder_;
};

TEST_F(SecureEnvironment, IsNotHeededByASetuidProgram) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a program setuid for somebody else";
  const int code = run_as_a_stranger(04755);
  if (code == kNotPrivileged)
    GTEST_SKIP() << "the folder is mounted nosuid, or the sandbox allows no new privileges";
  EXPECT_EQ(code, kIgnored);
}

TEST_F(SecureEnvironment, IsHeededByAnyOther) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can start it as another user";
  EXPECT_EQ(run_as_a_stranger(0755), kNotPrivileged);
  EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(program()).parent_path() / "trace.json"));
}

}  // namespace
