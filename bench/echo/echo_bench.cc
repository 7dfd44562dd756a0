// SPDX-License-Identifier: Apache-2.0
//
// The CPU time of each server for an echo of one message, as a ratio to the same server on raw libev.
//
// Closed loop: every connection sends a message and waits for its echo; one thread, real sockets on loopback.
// CPU time is what the kernel counts for the server (/proc/PID/schedstat, ns). It includes system calls, and
// excludes time that other processes take from a core. The servers take turns. Each round starts them again,
// and the output shows medians.
//
// --traced runs the task servers with and without AIOFIBER_TRACE and compares them. The timeline goes to
// /dev/null, so the disk does not count. It also shows the time of the writer's thread on another CPU.
#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "echo.h"

ABSL_FLAG(bool, traced, false, "compare the task servers with and without AIOFIBER_TRACE");

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Load {
  int connections = 64;
  std::size_t message_bytes = 64;
  Clock::duration warm_up = 200ms;
  Clock::duration measured = 1s;
  int rounds = 7;
};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int checked(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

// A server process; killed with the object, and with us.
class Server {
 public:
  explicit Server(const std::string& program, bool traced = false) {
    const int listener = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(bind(listener, reinterpret_cast<sockaddr*>(&address_), sizeof address_), "bind");
    checked(listen(listener, 4096), "listen");
    socklen_t length = sizeof address_;
    checked(getsockname(listener, reinterpret_cast<sockaddr*>(&address_), &length), "getsockname");
    pid_ = checked(fork(), "fork");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      // dup2 onto itself would leave close-on-exec set.
      if (listener == echo::kListener) fcntl(listener, F_SETFD, 0);
      if (listener != echo::kListener) dup2(listener, echo::kListener);
      if (traced) setenv("AIOFIBER_TRACE", "/dev/null", 1);
      execl(program.c_str(), program.c_str(), nullptr);
      std::perror(program.c_str());
      _exit(127);
    }
    close(listener);
  }
  ~Server() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const sockaddr_in& address() const { return address_; }
  // Nanoseconds on a CPU so far, in user and kernel mode, of the thread that serves.
  std::uint64_t cpu_ns() const { return cpu_ns_of(absl::StrCat(pid_)); }
  // ... and of its other threads.
  std::uint64_t other_cpu_ns() const {
    std::uint64_t ns = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + absl::StrCat(pid_) + "/task")) {
      const std::string id = thread.path().filename();
      if (id != absl::StrCat(pid_)) ns += cpu_ns_of(absl::StrCat(pid_) + "/task/" + id);
    }
    return ns;
  }

 private:
  static std::uint64_t cpu_ns_of(const std::string& task) {
    std::ifstream file("/proc/" + task + "/schedstat");
    std::uint64_t ns = 0;
    if (!(file >> ns)) throw std::runtime_error("the server is gone, or the kernel keeps no schedstat");
    return ns;
  }

  sockaddr_in address_{};
  pid_t pid_ = -1;
};

// All connections, each with one message under way.
class Clients {
 public:
  Clients(const sockaddr_in& server, const Load& load) : message_(load.message_bytes, 'x') {
    epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 0; i < load.connections; ++i) {
      const int fd = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
      checked(connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server), "connect");
      echo::set_no_delay(fd);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
      sockets_.push_back(fd);
    }
    received_.resize(static_cast<std::size_t>(*std::max_element(sockets_.begin(), sockets_.end())) + 1);
    for (const int fd : sockets_) say(fd);
  }
  ~Clients() {
    for (const int fd : sockets_) close(fd);
    close(epoll_);
  }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // Answers each echo with the next message; returns how many echoes came whole until `end`.
  std::uint64_t run_until(Clock::time_point end) {
    std::uint64_t echoes = 0;
    std::array<epoll_event, 256> events;
    while (Clock::now() < end) {
      const int count =
          checked(epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1000), "epoll_wait");
      if (count == 0) throw std::runtime_error("the server has not answered for a second");
      for (int i = 0; i < count; ++i) echoes += listen_to(events[static_cast<std::size_t>(i)].data.fd);
    }
    return echoes;
  }

 private:
  void say(int fd) {
    if (write(fd, message_.data(), message_.size()) != static_cast<ssize_t>(message_.size())) fail("write");
  }
  bool listen_to(int fd) {
    char buffer[echo::kBufferSize];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) fail("a connection ended");
    if (std::count(buffer, buffer + n, 'x') != n) throw std::runtime_error("that is not what was sent");
    std::size_t& received = received_[static_cast<std::size_t>(fd)];
    received += static_cast<std::size_t>(n);
    if (received < message_.size()) return false;
    received -= message_.size();
    say(fd);
    return true;
  }

  std::string message_;
  int epoll_ = -1;
  std::vector<int> sockets_;
  std::vector<std::size_t> received_;  // by descriptor, of the echo under way
};

struct Cost {
  double serving = 0, writing = 0;  // CPU of an echo in ns: of the thread that serves, of the others
};

Cost cost_of_echo(const std::string& program, bool traced, const Load& load) {
  const Server server(program, traced);
  Clients clients(server.address(), load);
  clients.run_until(Clock::now() + load.warm_up);
  const std::uint64_t before = server.cpu_ns(), others_before = server.other_cpu_ns();
  const auto echoes = static_cast<double>(clients.run_until(Clock::now() + load.measured));
  return {static_cast<double>(server.cpu_ns() - before) / echoes,
          static_cast<double>(server.other_cpu_ns() - others_before) / echoes};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare_servers(const std::string& folder, const Load& load) {
  const std::array<const char*, 3> servers{"libev", "wait", "task"};
  std::array<std::vector<double>, 3> costs, ratios;
  for (int round = 0; round < load.rounds; ++round) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      costs[i].push_back(cost_of_echo(folder + "echo_" + servers[i] + "_server", false, load).serving);
      ratios[i].push_back(costs[i].back() / costs[0].back());
    }
    std::printf("round %d of %d: libev %.0f ns, ratios wait %.3f, task %.3f\n", round + 1, load.rounds,
                costs[0].back(), ratios[1].back(), ratios[2].back());
    std::fflush(stdout);
  }
  std::printf("\n%d connections, messages of %zu bytes, medians of %d rounds\n%-8s %12s %8s\n",
              load.connections, load.message_bytes, load.rounds, "server", "CPU an echo", "ratio");
  for (std::size_t i = 0; i < servers.size(); ++i) {
    std::printf("%-8s %9.0f ns %8.3f\n", servers[i], median(costs[i]), median(ratios[i]));
  }
}

void compare_traced(const std::string& folder, const Load& load) {
  const std::array<const char*, 2> servers{"wait", "task"};
  std::array<std::vector<double>, 2> plain, traced, ratios, writing;
  for (int round = 0; round < load.rounds; ++round) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const std::string program = folder + "echo_" + servers[i] + "_server";
      plain[i].push_back(cost_of_echo(program, false, load).serving);
      const Cost cost = cost_of_echo(program, true, load);
      traced[i].push_back(cost.serving);
      writing[i].push_back(cost.writing);
      ratios[i].push_back(traced[i].back() / plain[i].back());
    }
    std::printf("round %d of %d: traced / not: wait %.3f, task %.3f\n", round + 1, load.rounds,
                ratios[0].back(), ratios[1].back());
    std::fflush(stdout);
  }
  std::printf(
      "\n%d connections, messages of %zu bytes, medians of %d rounds, CPU an echo\n%-8s %10s %10s %8s %14s\n",
      load.connections, load.message_bytes, load.rounds, "server", "not traced", "traced", "ratio",
      "writer's thread");
  for (std::size_t i = 0; i < servers.size(); ++i) {
    std::printf("%-8s %7.0f ns %7.0f ns %8.3f %11.0f ns\n", servers[i], median(plain[i]), median(traced[i]),
                median(ratios[i]), median(writing[i]));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  absl::SetProgramUsageMessage("the CPU time of servers for an echo: echo_bench [ROUNDS] [--traced]");
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  Load load;
  if (words.size() > 2 || (words.size() == 2 && !absl::SimpleAtoi(words[1], &load.rounds)) ||
      load.rounds < 1) {
    std::fprintf(stderr, "usage: echo_bench [ROUNDS] [--traced]   (above 0; default 7)\n");
    return 2;
  }
  std::string folder = argv[0];
  folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/') + 1);
  if (folder.empty()) folder = "./";
  absl::GetFlag(FLAGS_traced) ? compare_traced(folder, load) : compare_servers(folder, load);
} catch (const std::exception& error) {
  std::fprintf(stderr, "echo_bench: %s\n", error.what());
  return 1;
}
