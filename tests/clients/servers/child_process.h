// SPDX-License-Identifier: Apache-2.0
//
// A program that runs as a child, in its own process group and, if we are root, as another user.
//
// It never outlives us: the kernel signals it when the thread that started it ends, so a crashed test leaves
// no server behind. It is stopped by its own pid (and those of its descendants), never by name.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace aiofiber::clients_test {

struct Program {
  std::vector<std::string> arguments;  // [0] is the program's path
  std::string user;                    // run as this user if we are root; empty: as we are
  std::string log_file;                // where stdout and stderr are appended
  int stop_signal;                     // asks it to end
};

// Threads: start and stop from the thread that lives longest, normally main. Errors: std::runtime_error from
// the constructor (unknown user, no process). A program that cannot be executed says so in its log and ends
// with 127.
class ChildProcess {
 public:
  explicit ChildProcess(const Program& program);
  ~ChildProcess();  // stop()
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  bool is_running();
  pid_t pid() const { return pid_; }
  void stop();               // the stop signal, 10 s of patience, SIGKILL; waits for the end
  void kill_now(int signo);  // the signal to it and all its descendants at once; waits for nothing
  int wait();                // blocks until it has ended; its exit code, -1 if a signal ended it

 private:
  pid_t pid_ = -1;  // -1: ended, and waited for
  int stop_signal_;
};

// Runs it to its end. False if it ended otherwise than with 0.
bool run_to_end(const Program& program);

// The pids of a process's descendants, nearest first.
std::vector<pid_t> descendants_of(pid_t pid);

}  // namespace aiofiber::clients_test
