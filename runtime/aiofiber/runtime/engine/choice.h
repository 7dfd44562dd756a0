// SPDX-License-Identifier: Apache-2.0
//
// The one source of nondeterminism inside the scheduler, seeded in tests.
//
// Where the specification leaves a choice, the scheduler asks the Chooser of its thread: which of the timers
// with equal deadlines comes first, and whether a pass with ready work polls. On a virtual clock it also asks
// which of the ready nodes runs next, and a pass then runs only that one. Without a Chooser the first
// alternative is taken, at the cost of a load and a branch, and none of it on a switch of fibers. A test
// installs one (testing::Seed, testing::explore) and gets other orders, the same ones for the same seed.
// Threads: a Chooser belongs to one thread, as a loop does.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aiofiber::runtime {

class Scheduler;
struct Runnable;

class Chooser {
 public:
  // A number in [0, n): one of n alternatives. 0 is what happens without a Chooser. n must not be 0.
  virtual std::uint64_t choose(std::uint64_t n) noexcept = 0;
  // Only with a virtual clock: a pass begins, and nothing is taken for it yet. May cancel tasks and let time
  // pass. An exception leaves Scheduler::run().
  virtual void pass_begins(Scheduler&) {}
  // Only with a virtual clock: a number in [0, n), the node that the pass runs. The candidates are the first
  // n nodes of the ready queue, from `first` on.
  virtual std::size_t choose_step(const Runnable& /*first*/, std::size_t n) noexcept {
    return static_cast<std::size_t>(choose(n));
  }

 protected:
  ~Chooser() = default;
};

// Random numbers from a seed: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
// generators", OOPSLA 2014).
class SeededChooser final : public Chooser {
 public:
  explicit SeededChooser(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t choose(std::uint64_t n) noexcept override {
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
