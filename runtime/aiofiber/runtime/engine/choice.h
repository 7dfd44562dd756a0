// SPDX-License-Identifier: Apache-2.0
//
// The one source of nondeterminism inside the scheduler, seeded in tests.
//
// The scheduler calls choose(n) where the specification leaves a choice: the order of timers with equal
// deadlines, and, on the system's clock, whether a pass with ready work polls. Without a Chooser the answer
// is 0, at the cost of a load and a branch. A test installs a seeded Chooser (testing::Seed) and gets other
// legal runs, the same ones for the same seed. The Chooser is per thread, as loops are.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
class Chooser {
 public:
  explicit Chooser(std::uint64_t seed) noexcept : state_(seed) {}
  // A number in [0, n); n must not be 0.
  std::uint64_t choose(std::uint64_t n) noexcept {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % n;
  }

 private:
  std::uint64_t state_;
};

inline constinit thread_local Chooser* current_chooser = nullptr;

// Chooses one of n legal alternatives: returns its index.
inline std::uint64_t choose(std::uint64_t n) noexcept {
  return __builtin_expect(current_chooser != nullptr, 0) ? current_chooser->choose(n) : 0;
}

}  // namespace aiofiber::runtime
