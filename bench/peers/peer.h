// SPDX-License-Identifier: Apache-2.0
//
// What the C++ peers of the race share: the command line, clocks, and the lines that they print.
//
// A peer is called as `peer [repeat=3] yield=2 yield=1000 ...`. It prints a line `yield=2<TAB>31.250` for
// each repetition: nanoseconds (or bytes) of one operation. The first repetition warms up; the reader leaves
// it out. README.md says what each measure does. The peers in other languages have the same command line.
//
// Measures of one thread take the CPU time of the process, so that other processes on the core do not count.
#pragma once

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace peer {

// How many operations a repetition has in all.
inline constexpr long kYields = 600'000;
inline constexpr long kTasks = 60'000;
inline constexpr long kRoundTrips = 80'000;
inline constexpr long kItems = 200'000;
inline constexpr long kTimedWaits = 40'000;
inline constexpr long kPosts = 200'000;
inline constexpr long kCallsToIdleLoop = 300;
inline constexpr std::size_t kStackBytes = 64 * 1024;

inline long repetitions = 3;

// The part of `total` operations that each of n tasks does.
inline long share(long total, long n) { return std::max(1L, total / n); }

// How often each of n tasks yields.
inline long yields_of(long n) { return std::max(4L, share(kYields, n)); }

inline double nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}
inline double cpu_time() { return nanoseconds(CLOCK_PROCESS_CPUTIME_ID); }
inline double wall_time() { return nanoseconds(CLOCK_MONOTONIC); }

inline void print(const char* measure, long n, double value) {
  std::printf("%s=%ld\t%.3f\n", measure, n, value);
  std::fflush(stdout);
}

// Ends the peer with an error if what it should have done did not happen.
inline void require(bool happened, const char* what) {
  if (happened) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

// The CPU time since its construction.
class CpuWatch {
 public:
  double per(double operations) const { return (cpu_time() - start_) / operations; }

 private:
  double start_ = cpu_time();
};

// Calls `body` for each repetition, and prints the CPU time for each of its `operations`.
template <class F>
void measure(const char* name, long n, double operations, F body) {
  for (long i = 0; i < repetitions; ++i) {
    const CpuWatch watch;
    body();
    print(name, n, watch.per(operations));
  }
}

// The CPU time until the first of several tasks that take turns has done all its yields. All others have then
// done as many. So the ends of the tasks do not count.
class FirstToEnd {
 public:
  void start() { start_ = cpu_time(); }
  void ended() {
    if (end_ == 0) end_ = cpu_time();
  }
  double per(double operations) const { return (end_ - start_) / operations; }

 private:
  double start_ = 0, end_ = 0;
};

// Resident memory and page tables of this process.
inline double memory_bytes() {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  double kib = 0;
  for (char line[256]; status != nullptr && std::fgets(line, sizeof line, status) != nullptr;) {
    if (std::strncmp(line, "VmRSS:", 6) == 0 || std::strncmp(line, "VmPTE:", 6) == 0)
      kib += std::strtod(line + 6, nullptr);
  }
  if (status != nullptr) std::fclose(status);
  return kib * 1024;
}

// n tasks that sleep until the same time. Created before the first task; `all_sleep()` when all have gone to
// sleep.
class Sleepers {
 public:
  // If they are to wake, it is two seconds and 50 us for each task after the start: all peers are asleep
  // before.
  explicit Sleepers(long n, bool wake)
      : n_(n), deadline_(wall_time() + (wake ? 2e9 + 50e3 * static_cast<double>(n) : 1e12)) {}

  // On CLOCK_MONOTONIC, in ns.
  double deadline() const { return deadline_; }
  double until_deadline() const { return std::max(0.0, deadline_ - wall_time()); }

  void all_sleep() {
    require(wall_time() < deadline_, "not all were asleep before the first woke");
    asleep_cpu_ = cpu_time();
    print("sleeper_create", n_, (asleep_cpu_ - start_cpu_) / static_cast<double>(n_));
    print("sleeper_bytes", n_, (memory_bytes() - start_bytes_) / static_cast<double>(n_));
  }
  void all_ended() { print("sleeper_wake", n_, (cpu_time() - asleep_cpu_) / static_cast<double>(n_)); }

 private:
  long n_;
  double start_bytes_ = memory_bytes();
  double start_cpu_ = cpu_time();
  double deadline_;
  double asleep_cpu_ = 0;
};

// N frames with a destructor each, then `leaf`.
template <class F>
[[gnu::noinline]] void through_frames(long frames, F& leaf) {
  struct Guard {
    volatile long* place;
    ~Guard() { *place = 0; }
  };
  volatile long place = frames;
  const Guard guard{&place};
  if (frames <= 1)
    leaf();
  else
    through_frames(frames - 1, leaf);
  asm volatile("" ::: "memory");  // keeps the call from becoming a jump
}

struct Measure {
  const char* name;
  void (*run)(long n);
};

// The main() of a peer. Arguments that it does not know end it with 2.
inline int run(int argc, char** argv, const std::vector<Measure>& measures) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const long n = equals == std::string::npos ? 0 : std::strtol(argv[i] + equals + 1, nullptr, 10);
    const auto found = std::find_if(measures.begin(), measures.end(),
                                    [&](const Measure& measure) { return name == measure.name; });
    if (n > 0 && name == "repeat") {
      repetitions = n;
    } else if (n > 0 && found != measures.end()) {
      found->run(n);
    } else {
      std::fprintf(stderr, "%s: no such measure here\n", argv[i]);
      return 2;
    }
  }
  return 0;
}

}  // namespace peer
