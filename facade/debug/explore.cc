// SPDX-License-Identifier: Apache-2.0
//
// Which schedules are run, and what becomes of one that fails: shrunk, told, and thrown.
#include "aiofiber/explore.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "debug/schedule.h"

namespace aiofiber::testing {

namespace {

using RunPlan = std::function<RunOfSchedule(const Plan&)>;

std::string& repro_arguments() {
  static std::string arguments;
  return arguments;
}

std::string command() {
  std::string text = program_invocation_name;
  if (!repro_arguments().empty()) absl::StrAppend(&text, " ", repro_arguments());
  return text;
}

// The value of a variable of the environment; empty: not set.
std::string variable(const char* name) {
  const char* const value = ::secure_getenv(name);
  return value != nullptr ? value : "";
}

std::uint64_t seed_of(const ExploreOptions& options) {
  const std::string text = variable("AIOFIBER_SEED");
  if (text.empty()) return options.seed;
  std::uint64_t seed = 0;
  if (!absl::SimpleAtoi(text, &seed) && !absl::SimpleHexAtoi(text, &seed))
    throw std::invalid_argument("AIOFIBER_SEED: not a number: " + text);
  return seed;
}

// Makes a failing schedule shorter as long as it fails, in whatever way: parts of it are replaced by
// asyncio's order, first halves, in the end single choices.
class Shrinker {
 public:
  Shrinker(const RunPlan& run, Plan plan) : run_plan_(run), plan_(std::move(plan)) {}

  Plan shrink() {
    cut_end();
    const std::optional<CancelPoint> cancel = plan_.schedule.cancel;
    plan_.schedule.cancel.reset();
    if (!cancel || !fails()) plan_.schedule.cancel = cancel;
    std::vector<std::uint32_t>& choices = plan_.schedule.choices;
    for (std::size_t part = (choices.size() + 1) / 2; part > 0; part = part == 1 ? 0 : (part + 1) / 2) {
      for (std::size_t from = 0; from < choices.size() && left_ > 0; from += part) try_zeros(from, part);
      cut_end();
    }
    return plan_;
  }

 private:
  bool fails() {
    const RunOfSchedule run = run_plan_(plan_);
    left_ -= static_cast<std::int64_t>(run.steps) + 1;
    return !run.failure.empty();
  }
  void try_zeros(std::size_t from, std::size_t count) {
    std::vector<std::uint32_t>& choices = plan_.schedule.choices;
    const auto begin = choices.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(count, choices.size() - from));
    if (std::all_of(begin, end, [](std::uint32_t choice) { return choice == 0; })) return;
    const std::vector<std::uint32_t> before = choices;
    std::fill(begin, end, 0u);
    if (!fails()) choices = before;
  }
  void cut_end() {
    std::vector<std::uint32_t>& choices = plan_.schedule.choices;
    while (!choices.empty() && choices.back() == 0) choices.pop_back();
  }

  const RunPlan& run_plan_;
  Plan plan_;                      // fails
  std::int64_t left_ = 2'000'000;  // steps that shrinking may take: some seconds
};

class Explorer {
 public:
  Explorer(const RunPlan& run, const ExploreOptions& options, bool seeds_more)
      : run_plan_(run), options_(options), seed_(seed_of(options)), seeds_more_(seeds_more) {}

  Exploration run() {
    Plan plan;
    plan.strategy = options_.strategy;
    plan.seed = seed_;
    plan.cancel = options_.cancel;
    plan.slow_steps = options_.slow_steps;
    plan.most_steps = options_.steps;
    plan.tells_story = options_.keep_story;
    if (const std::string given = variable("AIOFIBER_SCHEDULE"); !given.empty()) {
      plan.strategy = Strategy::FIFO;
      plan.schedule = schedule_from_text(given);
      if (plan.schedule.cancel && plan.cancel == Cancellation::NONE) plan.cancel = Cancellation::ONCE;
      run_one(plan);
      return done_;
    }
    switch (options_.strategy) {
      case Strategy::FIFO:
        run_with_cancellations(plan);
        break;
      case Strategy::EXHAUSTIVE:
        run_all(plan);
        break;
      case Strategy::PCT: {
        Plan fifo = plan;
        fifo.strategy = Strategy::FIFO;
        fifo.cancel = Cancellation::NONE;
        plan.expected_steps = run_one(fifo).steps;
        [[fallthrough]];
      }
      case Strategy::RANDOM:
        for (std::size_t i = 0; i < options_.schedules; ++i) {
          plan.seed = seed_ + i;
          run_with_cancellations(plan);
        }
        break;
    }
    return done_;
  }

 private:
  RunOfSchedule run_one(const Plan& plan) {
    RunOfSchedule run = run_plan_(plan);
    ++done_.schedules;
    done_.steps += run.steps;
    if (!run.failure.empty()) fail(plan, run);
    if (plan.tells_story) done_.story = std::move(run.story);
    return run;
  }

  // The schedule, with each cancellation.
  void run_with_cancellations(Plan plan) {
    if (plan.cancel == Cancellation::NONE) {
      run_one(plan);
      return;
    }
    for (CancelPoint point;;) {
      plan.schedule.cancel = point;
      const RunOfSchedule run = run_one(plan);
      if (!run.victims) return;  // it ended before that step
      point = point.task + 1 < *run.victims ? CancelPoint{point.step, point.task + 1}
                                            : CancelPoint{point.step + 1, 0};
    }
  }

  void run_all(Plan plan) {
    if (plan.cancel == Cancellation::NONE) {
      done_.complete = run_orders(plan).has_value();
      return;
    }
    for (CancelPoint point;;) {
      plan.schedule.cancel = point;
      const std::optional<std::size_t> victims = run_orders(plan);
      done_.complete = victims.has_value();
      if (!victims || *victims == kStepNotReached) return;
      point = point.task + 1 < *victims ? CancelPoint{point.step, point.task + 1}
                                        : CancelPoint{point.step + 1, 0};
    }
  }

  // All orders, depth first: the last choice that has another alternative takes the next one. Returns the
  // most victims that a run has had; absent: there are more orders than are allowed.
  std::optional<std::size_t> run_orders(Plan plan) {
    std::size_t victims = kStepNotReached;
    plan.schedule.choices.clear();
    for (;;) {
      if (done_.schedules == options_.schedules) return std::nullopt;
      const RunOfSchedule run = run_one(plan);
      if (run.victims && (victims == kStepNotReached || *run.victims > victims)) victims = *run.victims;
      std::size_t length = run.choices.size();
      while (length > 0 && run.choices[length - 1].taken + 1 == run.choices[length - 1].alternatives)
        --length;
      if (length == 0) return victims;
      plan.schedule.choices.clear();
      for (std::size_t i = 0; i < length; ++i) plan.schedule.choices.push_back(run.choices[i].taken);
      ++plan.schedule.choices.back();
    }
  }

  [[noreturn]] void fail(const Plan& plan, const RunOfSchedule& run) {
    Plan fixed = plan;
    fixed.strategy = Strategy::FIFO;
    fixed.schedule.choices.clear();
    for (const Choice& choice : run.choices) fixed.schedule.choices.push_back(choice.taken);
    Plan shrunk = Shrinker(run_plan_, fixed).shrink();
    shrunk.tells_story = true;
    const RunOfSchedule last = run_plan_(shrunk);
    const std::string schedule = to_text(shrunk.schedule);
    std::string text = absl::StrCat("schedule ", done_.schedules, " fails: ", run.failure, "\nrepro: ");
    const bool seeded = plan.strategy == Strategy::RANDOM || plan.strategy == Strategy::PCT;
    const std::string by_seed = absl::StrCat("AIOFIBER_SEED=0x", absl::Hex(plan.seed), " ");
    const std::string by_schedule =
        absl::StrCat(seeds_more_ ? by_seed : "", "AIOFIBER_SCHEDULE=", schedule, " ", command(), "\n");
    if (seeded) {
      absl::StrAppend(&text, by_seed, command(), "\nshrunk: ", by_schedule);
    } else {
      text += by_schedule;
    }
    absl::StrAppend(&text, "its story:\n", last.story);
    if (last.failure != run.failure) absl::StrAppend(&text, "and fails: ", last.failure, "\n");
    throw ScheduleFailed(text, run.failure, done_.schedules, schedule);
  }

  static constexpr std::size_t kStepNotReached = SIZE_MAX;
  const RunPlan& run_plan_;
  const ExploreOptions options_;
  const std::uint64_t seed_;
  const bool seeds_more_;
  Exploration done_;
};

}  // namespace

void set_repro_arguments(std::string arguments) { repro_arguments() = std::move(arguments); }

Exploration explore_plans(const RunPlan& run, const ExploreOptions& options, bool seeds_more) {
  if (runtime::Scheduler::current() != nullptr)
    throw RuntimeError("explore() makes loops of its own: call it outside a running loop");
  return Explorer(run, options, seeds_more).run();
}

Exploration explore(const std::function<void()>& scenario, const ExploreOptions& options) {
  return explore_plans([&](const Plan& plan) { return run_schedule(scenario, plan); }, options, false);
}

}  // namespace aiofiber::testing
