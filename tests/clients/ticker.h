// SPDX-License-Identifier: Apache-2.0
//
// Checks that the loop stays responsive: a task that wants to run every millisecond and records its delays.
//
// Only delays by the loop's own thread count. The time in which this thread was ready but the kernel ran
// another is subtracted (the second number of /proc/thread-self/schedstat); on a busy machine it is most of a
// delay.
#pragma once

#include <aiofiber/asyncio.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>

namespace aiofiber::clients_test {

class Ticker {
 public:
  // In a task. Runs until it is destroyed, in a task as well.
  Ticker() : task_(asyncio::create_task({.name = "ticker"}, [this] { tick(); })) {}
  ~Ticker() { task_.cancel(); }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  // The longest time that another task kept the loop to itself, up to now.
  double longest_wait_ms() const { return longest_ms_; }

 private:
  using Clock = std::chrono::steady_clock;

  // How long this thread has been ready without running, in milliseconds; 0 where the kernel does not count
  // it.
  static double kept_waiting_ms() {
    std::ifstream file("/proc/thread-self/schedstat");
    std::int64_t ran_ns = 0, waited_ns = 0;
    file >> ran_ns >> waited_ns;
    return static_cast<double>(waited_ns) / 1e6;
  }

  void tick() {
    double waited = kept_waiting_ms();
    for (;;) {
      const Clock::time_point due = Clock::now() + std::chrono::milliseconds(1);
      asyncio::await(asyncio::sleep(std::chrono::milliseconds(1)));
      const double late = std::chrono::duration<double, std::milli>(Clock::now() - due).count();
      const double waited_now = kept_waiting_ms();
      longest_ms_ = std::max(longest_ms_, late - (waited_now - waited));
      waited = waited_now;
    }
  }

  double longest_ms_ = 0;
  asyncio::Task<void> task_;  // last: it writes the rest
};

}  // namespace aiofiber::clients_test
