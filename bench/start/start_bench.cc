// SPDX-License-Identifier: Apache-2.0
//
// The time from before a program is started until its first task runs, as a ratio to a program in C++ of the
// same minute, and the size of the stripped program.
//
//   start_bench [ROUNDS]     (default 15)
//
// The programs take turns, 30 starts each in a round, because the speed of a shared machine changes. A
// round's figure is the median of its starts; the ratio is the median over the rounds.
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern char** environ;

namespace {

constexpr int kStarts = 30;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

long long now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

// Microseconds until the program says what time it is.
double start(const std::string& program) {
  int ends[2];
  if (::pipe(ends) != 0) std::exit(2);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addclose(&actions, ends[0]);
  ::posix_spawn_file_actions_addclose(&actions, ends[1]);
  char* arguments[] = {const_cast<char*>(program.c_str()), nullptr};
  const long long before = now_ns();
  pid_t child = 0;
  if (::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ) != 0) {
    std::perror(program.c_str());
    std::exit(2);
  }
  ::close(ends[1]);
  char text[64] = {};
  std::size_t length = 0;
  for (ssize_t got = 0; (got = ::read(ends[0], text + length, sizeof text - 1 - length)) > 0;) {
    length += static_cast<std::size_t>(got);
  }
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  ::posix_spawn_file_actions_destroy(&actions);
  return static_cast<double>(std::strtoll(text, nullptr, 10) - before) / 1e3;
}

// What `strip` leaves.
long long stripped_bytes(const std::string& program) {
  const std::string copy = program + ".stripped";
  const std::string command = "strip -o '" + copy + "' '" + program + "'";
  struct stat status {};
  if (std::system(command.c_str()) != 0 || ::stat(copy.c_str(), &status) != 0) return 0;
  ::unlink(copy.c_str());
  return status.st_size;
}

// The shared libraries that the loader brings.
int libraries(const std::string& program) {
  const std::string command = "LD_TRACE_LOADED_OBJECTS=1 '" + program + "' | grep -c '=> /'";
  std::FILE* const list = ::popen(command.c_str(), "r");
  int count = 0;
  if (list == nullptr || std::fscanf(list, "%d", &count) != 1) count = -1;
  if (list != nullptr) ::pclose(list);
  return count;
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 15;
  const std::string self = arguments[0];
  const std::string folder = self.find('/') == std::string::npos ? "./" : self.substr(0, self.rfind('/') + 1);
  const std::vector<std::string> names{"start_cpp", "start_cpp_bare", "start_task"};
  std::vector<std::vector<double>> times(names.size()), ratios(names.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      std::vector<double> starts;
      for (int k = 0; k < kStarts; ++k) starts.push_back(start(folder + names[i]));
      times[i].push_back(median(starts));
      ratios[i].push_back(times[i].back() / times[0].back());
    }
  }
  std::printf("%-16s %10s %8s %16s %10s\n", "program", "start, us", "ratio", "stripped, bytes", "libraries");
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::printf("%-16s %10.0f %8.2f %16lld %10d\n", names[i].c_str(), median(times[i]), median(ratios[i]),
                stripped_bytes(folder + names[i]), libraries(folder + names[i]));
  }
}
