// SPDX-License-Identifier: Apache-2.0
//
// How long echoes took: a histogram with eight steps for each doubling, from 1 us to a second.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>

namespace echo {

class Latencies {
 public:
  void add(std::uint64_t nanoseconds) { ++counts_[step_of(nanoseconds)]; }

  // Lines `latency<TAB>US<TAB>COUNT` for each step with echoes; US is the step's upper end.
  void print() const {
    for (std::size_t step = 0; step < counts_.size(); ++step) {
      if (counts_[step] == 0) continue;
      std::printf("latency\t%.3f\t%llu\n", static_cast<double>(end_of(step)) / 1000,
                  static_cast<unsigned long long>(counts_[step]));
    }
  }

 private:
  static constexpr int kFirst = 10;  // 2^10 ns: about 1 us
  static std::size_t step_of(std::uint64_t nanoseconds) {
    const std::uint64_t ns = std::clamp<std::uint64_t>(nanoseconds, 1ull << kFirst, (1ull << 30) - 1);
    const int doubling = static_cast<int>(std::bit_width(ns)) - 1;
    return static_cast<std::size_t>((doubling - kFirst) * 8) + ((ns >> (doubling - 3)) & 7);
  }
  static std::uint64_t end_of(std::size_t step) {
    const std::size_t doubling = kFirst + step / 8;
    return (8 + step % 8 + 1) << (doubling - 3);
  }
  std::array<std::uint64_t, (30 - kFirst) * 8> counts_{};
};

}  // namespace echo
