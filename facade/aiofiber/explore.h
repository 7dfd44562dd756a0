// SPDX-License-Identifier: Apache-2.0
//
// explore(): runs a piece of a program under many orders of its tasks, and finds the one in which it fails.
//
// What can run is chosen step by step instead of first come, first served. A failure comes with one line that
// repeats it, with the shortest schedule found that still fails, and with a story: which task ran, and why it
// stopped.
//
// What changes its place: steps of different tasks that are ready at the same time; a callback may come
// before steps that were ready earlier; timers that are due at the same moment; whether a busy loop polls.
// What keeps it: the order of callbacks among themselves, the order of waiters of a lock or queue, and that
// nothing overtakes a callback that was ready earlier. So a program may rely on the order of call_soon(), and
// on the fairness of locks. Relying on which of two tasks takes the first step is what is found here: asyncio
// starts them in the order in which they were created, and a little change of the program changes that order.
// Sources: Musuvathi and Qadeer, "Iterative Context Bounding" (PLDI 2007), for the systematic search;
// Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (ASPLOS 2010),
// for PCT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace aiofiber::testing {

// How explore() chooses, at each step, which of the ready tasks goes on.
enum class Strategy : unsigned char {
  FIFO,    // asyncio's order: one schedule
  RANDOM,  // each choice is a die
  // The task with the highest of random priorities runs; at two random steps the priority of the one that
  // would run falls below all others. Finds rare orders in long runs. A task that runs eight steps in a row
  // falls behind, too.
  PCT,
  // Every order, one after the other, at most `schedules`. For small scenarios: the number grows as fast as
  // that of interleavings.
  EXHAUSTIVE,
};
inline constexpr Strategy FIFO = Strategy::FIFO;              // asyncio's order
inline constexpr Strategy RANDOM = Strategy::RANDOM;          // each choice is a die
inline constexpr Strategy PCT = Strategy::PCT;                // random priorities
inline constexpr Strategy EXHAUSTIVE = Strategy::EXHAUSTIVE;  // every order

// What is done to one task before one step.
enum class Cancellation : unsigned char {
  NONE,
  ONCE,        // cancel()
  TWICE,       // cancel(), and again before the next step, if the task is still there
  TAKEN_BACK,  // cancel() and uncancel() at once
};

// The settings of explore().
struct ExploreOptions {
  std::size_t schedules = 500;           // how many runs of the scenario
  Strategy strategy = Strategy::RANDOM;  // how each is chosen
  // Of the first schedule. The second has seed + 1, and so on. The variable AIOFIBER_SEED of the environment
  // replaces it.
  std::uint64_t seed = 1;
  // Not NONE: each schedule is run once for each of its steps and each task that is pending then, and that
  // task is cancelled before that step. The scenario's own task is left alone, so it can wait for the others
  // and check what they leave behind.
  Cancellation cancel = Cancellation::NONE;
  // Whether time may pass while tasks are ready, as on a slow machine: up to the next deadline.
  bool slow_steps = false;
  // A schedule with more steps than this has failed: its tasks run in circles.
  std::size_t steps = 10'000;
  // Exploration::story tells of the last schedule.
  bool keep_story = false;
};

// What explore() has done.
struct Exploration {
  std::size_t schedules = 0;  // runs of the scenario
  std::uint64_t steps = 0;    // of tasks and callbacks, in all of them
  bool complete = false;      // EXHAUSTIVE: every order was run
  std::string story;          // with keep_story, the steps of the last run
};

// A schedule in which the scenario fails. what() says how, and has the line that repeats it, and the story.
class ScheduleFailed : public std::runtime_error {
 public:
  // explore() makes it.
  ScheduleFailed(const std::string& text, std::string failure, std::size_t schedules, std::string schedule)
      : std::runtime_error(text),
        failure_(std::move(failure)),
        schedules_(schedules),
        schedule_(std::move(schedule)) {}
  // How it fails, in one line.
  const std::string& failure() const noexcept { return failure_; }
  // The number of runs up to the first that failed.
  std::size_t schedules() const noexcept { return schedules_; }
  // The shortest schedule found that fails, as AIOFIBER_SCHEDULE takes it.
  const std::string& schedule() const noexcept { return schedule_; }

 private:
  std::string failure_;
  std::size_t schedules_;
  std::string schedule_;
};

// Runs `scenario` as a task of a new TestLoop, once for each schedule. It fails if it throws; if something
// is left when it returns (tasks, timers, waits for descriptors); if something is reported to the loop's
// exception handler (an exception that nobody retrieved); if nothing can run any more; and if it takes too
// many steps. It must do the same whenever the order is the same: no threads, no real time, no random numbers
// of its own.
// If the environment has AIOFIBER_SCHEDULE, only that schedule is run.
// Threads: one without a running loop. Errors: ScheduleFailed; RuntimeError: a loop runs;
// std::invalid_argument: a variable of the environment is not a number or schedule.
Exploration explore(const std::function<void()>& scenario, const ExploreOptions& options = {});

// What stands behind the program's name in the line that repeats a failure, such as --gtest_filter=Lock.*.
// The listener of <aiofiber/gtest.h> sets it. Threads: one at a time.
void set_repro_arguments(std::string arguments);

}  // namespace aiofiber::testing
