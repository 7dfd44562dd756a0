// SPDX-License-Identifier: Apache-2.0
//
// An echo server as a process of its own, and what the kernel counts for it: CPU time and resident memory.
#pragma once

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "echo.h"

namespace echo {

[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

inline int checked(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

// Killed with the object, and with us.
class Server {
 public:
  explicit Server(const std::vector<std::string>& command, bool traced = false) {
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
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
      if (listener == kListener) fcntl(listener, F_SETFD, 0);
      if (listener != kListener) dup2(listener, kListener);
      if (traced) setenv("AIOFIBER_TRACE", "/dev/null", 1);
      execvp(words[0], words.data());
      std::perror(words[0]);
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
  // Nanoseconds on a CPU so far, in user and kernel mode, of the main thread.
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
  // Resident memory and page tables.
  std::uint64_t memory_bytes() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
    std::uint64_t bytes = 0, kilobytes = 0;
    for (std::string line; std::getline(file, line);) {
      if (!absl::StartsWith(line, "VmRSS:") && !absl::StartsWith(line, "VmPTE:")) continue;
      if (std::sscanf(line.c_str() + 6, "%lu", &kilobytes) == 1) bytes += 1024 * kilobytes;
    }
    if (bytes == 0) throw std::runtime_error("the server is gone");
    return bytes;
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

}  // namespace echo
