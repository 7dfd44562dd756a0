// SPDX-License-Identifier: Apache-2.0
//
// Real processes for tests: a process that runs to its end, and a process that lives as long as an object.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace aiofiber::tool_test {

struct Finished {
  int code = -1;  // the exit code; -1 if a signal ended it
  std::string out;
  std::string err;
  long peak_kib = 0;       // peak memory
  double cpu_seconds = 0;  // CPU time used; unlike real time, it does not depend on other processes
};

using Words = std::vector<std::string>;

inline void exec_now(const Words& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The first line that contains `part`, or nothing.
inline std::string line_with(const std::string& text, const std::string& part) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (contains(line, part)) return line;
  }
  return {};
}
inline std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

inline std::string read_all(int fd) {
  std::string text;
  char buffer[65536];
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  return text;
}

// `before` runs in the child, before the program. stderr goes to a file, so no pipe can fill up.
inline Finished run(
    const Words& words, const std::function<void()>& before = [] {}) {
  int out[2];
  EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  const int errors = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    before();
    exec_now(words);
  }
  close(out[1]);
  Finished finished;
  finished.out = read_all(out[0]);
  close(out[0]);
  int status = 0;
  rusage used{};
  wait4(pid, &status, 0, &used);
  finished.peak_kib = used.ru_maxrss;
  for (const timeval& time : {used.ru_utime, used.ru_stime}) {
    finished.cpu_seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  }
  if (WIFEXITED(status)) finished.code = WEXITSTATUS(status);
  lseek(errors, 0, SEEK_SET);
  finished.err = read_all(errors);
  close(errors);
  return finished;
}

// During its lifetime, the thread and the processes that it starts share one CPU.
class OnOneCpu {
 public:
  OnOneCpu() {
    EXPECT_EQ(sched_getaffinity(0, sizeof before_, &before_), 0);
    int cpu = 0;
    while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &before_)) ++cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~OnOneCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnOneCpu(const OnOneCpu&) = delete;
  OnOneCpu& operator=(const OnOneCpu&) = delete;

 private:
  cpu_set_t before_;
};

// A program that lives as long as the object. The constructor waits for `times` lines "ready".
class Running {
 public:
  explicit Running(
      const Words& words, int times = 1, const std::function<void()>& before = [] {}) {
    int out[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      before();
      exec_now(words);
    }
    close(out[1]);
    std::string text;
    char c = 0;
    while (times > 0 && read(out[0], &c, 1) == 1) {
      text += c;
      output_ += c;
      if (!text.ends_with("ready\n")) continue;
      text.clear();
      --times;
    }
    EXPECT_EQ(times, 0) << "the program did not get ready";
    close(out[0]);
  }
  ~Running() { end(SIGKILL); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  std::string pid() const { return std::to_string(pid_); }
  pid_t id() const { return pid_; }
  // What it had printed when it became ready.
  const std::string& output() const { return output_; }
  void end(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  std::string output_;
};

}  // namespace aiofiber::tool_test
