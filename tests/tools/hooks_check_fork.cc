// SPDX-License-Identifier: Apache-2.0
//
// A program that forks in three ways: to call exec, by a function whose caller calls exec, and to go on in
// the child, which copies the state of all tasks.
#include <sys/wait.h>
#include <unistd.h>

#define SEPARATE extern "C" __attribute__((noinline, noipa))
#if defined(__clang__)
#undef SEPARATE
#define SEPARATE extern "C" __attribute__((noinline))
#endif

namespace {

int wait_for(pid_t child) {
  int status = 0;
  return ::waitpid(child, &status, 0) == child ? status : -1;
}

}  // namespace

SEPARATE int run_command(const char* command) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", command, nullptr);
    ::_exit(127);
  }
  return wait_for(child);
}

SEPARATE pid_t make_child() { return ::fork(); }

SEPARATE int run_true() {
  const pid_t child = make_child();
  if (child == 0) {
    ::execl("/bin/true", "true", nullptr);
    ::_exit(127);
  }
  return wait_for(child);
}

SEPARATE int count_in_child(int number) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(number + 1);
  return wait_for(child);
}

int main(int argc, char** argv) { return run_command(argv[0]) + run_true() + count_in_child(argc); }
