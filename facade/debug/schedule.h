// SPDX-License-Identifier: Apache-2.0
//
// One run of a scenario under one schedule: who decides, what was decided, and what came of it.
//
// A schedule is a list of numbers, one for each choice with more than one alternative; 0 is the alternative
// that is taken without a Chooser. Missing numbers are 0. So every list is a schedule, and zeros at its end
// say nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/explore.h"
#include "aiofiber/runtime/engine/choice.h"

namespace aiofiber::testing {

// Before which step which of the pending tasks is cancelled: 0 is the oldest but for the scenario's own.
struct CancelPoint {
  std::uint64_t step = 0;
  std::size_t task = 0;
};

struct Schedule {
  std::vector<std::uint32_t> choices;
  std::optional<CancelPoint> cancel;
};

// `0.2.1`, and `0.2.1@5.0` with a cancellation before step 5; "0" for asyncio's order.
std::string to_text(const Schedule& schedule);
// std::invalid_argument: the text is none.
Schedule schedule_from_text(const std::string& text);

// Who decides.
struct Plan {
  Strategy strategy = Strategy::FIFO;  // EXHAUSTIVE: as FIFO, after the choices of `schedule`
  std::uint64_t seed = 0;              // of RANDOM and PCT, and of a simulated world
  std::uint64_t expected_steps = 0;    // PCT: its steps of change lie below this
  Schedule schedule;
  Cancellation cancel = Cancellation::NONE;  // at schedule.cancel
  bool slow_steps = false;
  std::size_t most_steps = 0;
  bool tells_story = false;
};

struct Choice {
  std::uint32_t alternatives;
  std::uint32_t taken;
};

struct RunOfSchedule {
  std::string failure;  // empty: none
  std::vector<Choice> choices;
  std::uint64_t steps = 0;
  // Tasks that were pending at the step of schedule.cancel; absent if the run ended before.
  std::optional<std::size_t> victims;
  std::string story;
};

RunOfSchedule run_schedule(const std::function<void()>& scenario, const Plan& plan);

// The same for a scenario that runs loops of its own: it lets the Chooser decide in them. A failure is what
// it throws. Without cancellations and slow_steps.
RunOfSchedule run_directed(const std::function<void(runtime::Chooser&)>& scenario, const Plan& plan);

// What explore() does, with any way to run a plan. `seeds_more`: Plan::seed decides more than the schedule,
// so the line that repeats a failure has it in any case.
Exploration explore_plans(const std::function<RunOfSchedule(const Plan&)>& run, const ExploreOptions& options,
                          bool seeds_more);

}  // namespace aiofiber::testing
