// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C in a program whose tasks run C code that tries again for ever. Real time: the program ends after a
// second or two of tries.
// Labels: slow
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "retrying_client.h"

namespace {

using namespace std::chrono_literals;
namespace aio = aiofiber;

// A server that accepts and does not answer: the kernel's backlog.
class SilentServer {
 public:
  SilentServer() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(fd_, 100), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(fd_); }
  int port() const { return port_; }

 private:
  int fd_;
  int port_ = 0;
};

struct CleanUp {
  ~CleanUp() { std::fputs("cleaned up\n", stderr); }
};

constexpr int kTasks = 10;

void program(int port, void (*wait)(std::vector<aio::Task<void>>&)) {
  aio::run([&] {
    const CleanUp clean_up;
    std::vector<aio::Task<void>> tasks;
    for (int i = 0; i < kTasks; ++i) tasks.push_back(aio::create_task([port] { ask_until_answered(port); }));
    aio::get_running_loop().call_later(200ms, [] { ::kill(::getpid(), SIGINT); });
    wait(tasks);
  });
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class CtrlC : public ::testing::TestWithParam<void (*)(std::vector<aio::Task<void>>&)> {};

TEST_P(CtrlC, EndsRetryLoopsWithoutAFloodAndTheProgramBySigint) {
  const SilentServer server;
  const std::string path = ::testing::TempDir() + "ctrl_c_" + std::to_string(::getpid());
  const pid_t child = ::fork();
  if (child == 0) {
    if (std::freopen(path.c_str(), "w", stderr) == nullptr) ::_exit(1);
    std::setvbuf(stderr, nullptr, _IONBF, 0);
    try {
      program(server.port(), GetParam());
    } catch (...) {
      std::terminate();  // as if nobody caught it
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGINT);
  const auto lines = lines_of(path);
  ::unlink(path.c_str());
  int failures = 0, clean_ups = 0;
  for (const std::string& line : lines) {
    failures += line.starts_with("failed: ");
    clean_ups += line == "cleaned up";
  }
  EXPECT_GE(failures, kTasks);
  EXPECT_LE(failures, kTasks * 20);  // each has a wait in sleep() too
  EXPECT_EQ(clean_ups, 1);
}

INSTANTIATE_TEST_SUITE_P(Waits, CtrlC,
                         ::testing::Values(
                             [](std::vector<aio::Task<void>>& tasks) {
                               for (const auto& task : tasks) aio::await(task);
                             },
                             [](std::vector<aio::Task<void>>& tasks) { aio::await(aio::gather(tasks)); }));

}  // namespace
