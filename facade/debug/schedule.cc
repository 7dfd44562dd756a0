// SPDX-License-Identifier: Apache-2.0
//
// The Chooser of a schedule, the story that it tells, and the checks after the run.
#include "debug/schedule.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/runtime/engine/decimals.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "aiofiber/runtime/inspect/wait_kind.h"
#include "aiofiber/task.h"
#include "aiofiber/testing.h"

namespace aiofiber::testing {

std::string to_text(const Schedule& schedule) {
  std::string text = schedule.choices.empty() ? "0" : absl::StrJoin(schedule.choices, ".");
  if (schedule.cancel) absl::StrAppend(&text, "@", schedule.cancel->step, ".", schedule.cancel->task);
  return text;
}

Schedule schedule_from_text(const std::string& text) {
  const auto number = [&text](const std::string& digits, auto& value) {
    if (!absl::SimpleAtoi(digits, &value)) {
      throw std::invalid_argument("AIOFIBER_SCHEDULE: not a schedule: " + text);
    }
  };
  Schedule schedule;
  const std::vector<std::string> halves = absl::StrSplit(text, absl::MaxSplits('@', 1));
  const std::vector<std::string> choices = absl::StrSplit(halves[0], '.');
  for (const std::string& digits : choices) number(digits, schedule.choices.emplace_back());
  if (halves.size() > 1) {
    const std::vector<std::string> numbers = absl::StrSplit(halves[1], '.');
    schedule.cancel.emplace();
    number(numbers[0], schedule.cancel->step);
    number(numbers.size() == 2 ? numbers[1] : "", schedule.cancel->task);
  }
  return schedule;
}

namespace {

// Tasks have numbers in the order of their creation, objects in the order of their first appearance in the
// story. So equal runs tell equal stories, in any process.
class Story {
 public:
  // Its tasks have numbers from there. Otherwise in the order of their first appearance.
  void scenario_is(std::uint64_t fiber) noexcept { scenario_ = fiber; }
  void begin(std::int64_t now_ns) {
    if (std::exchange(time_ns_, now_ns) != now_ns) {
      absl::StrAppend(&text_, "      at ", runtime::digits(static_cast<double>(now_ns) * 1e-9, 9), " s\n");
    }
  }
  // A line without its end: `what` is about to run.
  void step(std::uint64_t number, const std::string& what) {
    absl::StrAppend(&text_, absl::Dec(number, absl::kSpacePad6), " ", what);
    open_ = true;
  }
  void ended(const std::string& why) {
    if (std::exchange(open_, false)) absl::StrAppend(&text_, why, "\n");
  }
  void remark(const std::string& line) { absl::StrAppend(&text_, "       ", line, "\n"); }
  std::string task(const aiofiber_record& record) {
    std::string text = absl::StrCat("#", number_of_task(record.id));
    if (record.name[0] != '\0') absl::StrAppend(&text, " ", record.name);
    return text;
  }
  std::string wait(const aiofiber_record& record) {
    std::string text = kind_of_wait(record);
    const std::uint32_t kind = record.wait_kind;
    if (kind != AIOFIBER_WAIT_SLEEP && kind != AIOFIBER_WAIT_TASK && kind != AIOFIBER_WAIT_FD &&
        record.wait_arg != 0) {
      absl::StrAppend(&text, " ", number_of(record.wait_arg));
    }
    return text;
  }
  // The same without the number of an object.
  std::string kind_of_wait(const aiofiber_record& record) {
    std::string text = runtime::wait_kind(record.wait_kind).what;
    if (record.wait_kind == AIOFIBER_WAIT_SLEEP) {
      absl::StrAppend(&text, " until ", runtime::digits(static_cast<double>(record.wait_arg) * 1e-9, 9),
                      " s");
    } else if (record.wait_kind == AIOFIBER_WAIT_TASK) {
      absl::StrAppend(&text, " #", number_of_task(record.wait_arg));
    }
    return text;
  }
  std::string take() { return std::move(text_); }

 private:
  std::size_t number_of(std::uint64_t object) { return number_in(objects_, object); }
  std::uint64_t number_of_task(std::uint64_t fiber) {
    return scenario_ != 0 ? fiber - scenario_ : number_in(tasks_, fiber);
  }
  static std::size_t number_in(std::vector<std::uint64_t>& known, std::uint64_t object) {
    const auto at = std::find(known.begin(), known.end(), object);
    if (at == known.end()) {
      known.push_back(object);
      return known.size();
    }
    return static_cast<std::size_t>(at - known.begin()) + 1;
  }

  std::string text_;
  std::int64_t time_ns_ = 0;
  bool open_ = false;
  std::uint64_t scenario_ = 0;
  std::vector<std::uint64_t> objects_;
  std::vector<std::uint64_t> tasks_;
};

// Priorities of PCT. Callbacks count as one task, with id 0.
class Priorities {
 public:
  Priorities(std::uint64_t seed, std::uint64_t expected_steps) : random_(seed) {
    for (std::uint64_t& step : changes_) step = random_.choose(std::max<std::uint64_t>(expected_steps, 1));
  }
  // The candidate with the highest priority.
  std::size_t choose(const runtime::Runnable& first, std::size_t n, std::uint64_t step) {
    const bool falls = std::find(std::begin(changes_), std::end(changes_), step) != std::end(changes_);
    for (std::size_t round = falls ? 0 : 1;; ++round) {
      std::size_t best = 0;
      std::size_t best_task = SIZE_MAX;  // in tasks_, which grows meanwhile
      const runtime::Runnable* node = &first;
      for (std::size_t i = 0; i < n; ++i, node = node->next) {
        const std::size_t at = find(id_of(*node));
        if (best_task == SIZE_MAX || tasks_[at].priority > tasks_[best_task].priority) {
          best = i;
          best_task = at;
        }
      }
      if (round == 1) return best;
      tasks_[best_task].priority = --lowest_;
    }
  }
  void fall(const runtime::Runnable& node) { tasks_[find(id_of(node))].priority = --lowest_; }
  std::uint64_t any_of(std::uint64_t n) noexcept { return random_.choose(n); }

  // Of a task; 0 for a callback.
  static std::uint64_t id_of(const runtime::Runnable& node) noexcept {
    const bool fiber =
        node.kind == runtime::Runnable::Kind::kFiber || node.kind == runtime::Runnable::Kind::kStackless;
    return fiber ? static_cast<const runtime::Fiber&>(node).id : 0;
  }

 private:
  struct Task {
    std::uint64_t id;
    std::int64_t priority;
  };
  std::size_t find(std::uint64_t id) {
    // The newest are at the end, and most tasks do not live long.
    for (std::size_t at = tasks_.size(); at-- > 0;) {
      if (tasks_[at].id == id) return at;
    }
    tasks_.push_back({id, static_cast<std::int64_t>(random_.choose(std::uint64_t{1} << 32))});
    return tasks_.size() - 1;
  }

  static constexpr std::size_t kChanges = 2;  // the depth of the bugs that it looks for, less one
  runtime::SeededChooser random_;
  std::uint64_t changes_[kChanges] = {};
  std::int64_t lowest_ = 0;
  std::vector<Task> tasks_;
};

struct TooManySteps {};

class Director final : public runtime::Chooser {
 public:
  // `loop`: where tasks are cancelled and time passes; null: nowhere.
  Director(const Plan& plan, TestLoop* loop)
      : plan_(plan),
        loop_(loop),
        random_(plan.seed),
        priorities_(plan.seed, plan.expected_steps),
        outer_(std::exchange(runtime::current_chooser, this)) {}
  ~Director() { runtime::current_chooser = outer_; }
  Director(const Director&) = delete;
  Director& operator=(const Director&) = delete;

  std::uint64_t choose(std::uint64_t n) noexcept override {
    return n <= 1 ? 0 : note(n, decide([&] { return priorities_.any_of(n); }, n));
  }

  void pass_begins(runtime::Scheduler& scheduler) override {
    finish_step();
    if (run_.steps > plan_.most_steps) throw TooManySteps{};
    if (plan_.cancel != Cancellation::NONE && plan_.schedule.cancel) cancel_if_due(*plan_.schedule.cancel);
    if (plan_.slow_steps && scheduler.ready_count() > 0 && !scheduler.timers().empty() && choose(2) == 1) {
      const std::int64_t left = runtime::time_until(scheduler.timers().next_deadline(), scheduler.now());
      loop_->burn(std::chrono::nanoseconds(left));
      if (plan_.tells_story && left > 0) story_.remark("time passes");
    }
    ++passes_;
  }

  std::size_t choose_step(const runtime::Runnable& first, std::size_t n) noexcept override {
    finish_step();
    std::size_t taken = 0;
    if (n > 1)
      taken = static_cast<std::size_t>(
          note(n, decide([&] { return priorities_.choose(first, n, run_.steps); }, n)));
    const runtime::Runnable* node = &first;
    for (std::size_t i = 0; i < taken; ++i) node = node->next;
    // One that yields for ever must not keep the others from running.
    const std::uint64_t id = Priorities::id_of(*node);
    in_a_row_ = id == ran_ ? in_a_row_ + 1 : 0;
    if (in_a_row_ == kMostInARow) {
      in_a_row_ = 0;
      priorities_.fall(*node);
    }
    ran_ = id;
    if (plan_.tells_story) tell(*node);
    ++run_.steps;
    return taken;
  }

  RunOfSchedule take() {
    finish_step();
    run_.story = story_.take();
    return std::move(run_);
  }
  Story& story() noexcept { return story_; }

 private:
  template <class ByPriority>
  std::uint64_t decide(ByPriority by_priority, std::uint64_t n) {
    if (run_.choices.size() < plan_.schedule.choices.size())
      return std::min<std::uint64_t>(plan_.schedule.choices[run_.choices.size()], n - 1);
    switch (plan_.strategy) {
      case Strategy::RANDOM:
        return random_.choose(n);
      case Strategy::PCT:
        return by_priority();
      case Strategy::FIFO:
      case Strategy::EXHAUSTIVE:
        break;
    }
    return 0;
  }
  std::uint64_t note(std::uint64_t n, std::uint64_t taken) {
    run_.choices.push_back({static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(taken)});
    return taken;
  }

  void cancel_if_due(const CancelPoint& point) {
    if (passes_ == point.step + 1 && second_) {
      second_->cancel();
      second_.reset();
    }
    if (passes_ != point.step) return;
    std::vector<AnyTask> pending;
    for (const AnyTask& task : all_tasks(loop_)) {
      if (task.get_name() != kScenarioName) pending.push_back(task);
    }
    run_.victims = pending.size();
    if (point.task >= pending.size()) return;
    AnyTask& victim = pending[point.task];
    if (plan_.tells_story) {
      story_.remark("cancel " + story_.task(*victim.ref()->task()->fiber()));
    }
    victim.cancel();
    if (plan_.cancel == Cancellation::TAKEN_BACK) victim.uncancel();
    if (plan_.cancel == Cancellation::TWICE) second_ = victim;
  }

  void tell(const runtime::Runnable& node) {
    story_.begin(runtime::Scheduler::current()->now());
    fiber_ = nullptr;
    if (node.kind == runtime::Runnable::Kind::kFiber || node.kind == runtime::Runnable::Kind::kStackless) {
      fiber_ = &static_cast<const runtime::Fiber&>(node);
      fiber_id_ = fiber_->id;
      story_.step(run_.steps, story_.task(*fiber_));
    } else {
      story_.step(run_.steps,
                  node.kind == runtime::Runnable::Kind::kCallback ? "a callback" : "a wait of the runtime");
    }
  }
  void finish_step() {
    if (!plan_.tells_story) return;
    if (fiber_ == nullptr) {
      story_.ended("");
    } else if (fiber_->state == AIOFIBER_FREE || fiber_->id != fiber_id_) {
      story_.ended(" ends");
    } else if (fiber_->state == AIOFIBER_WAITING) {
      story_.ended(": waits for " + story_.wait(*fiber_));
    } else {
      story_.ended(": lets others run");
    }
    fiber_ = nullptr;
  }

 public:
  static constexpr std::string_view kScenarioName = "scenario";

 private:
  const Plan& plan_;
  TestLoop* loop_;
  runtime::SeededChooser random_;
  Priorities priorities_;
  Story story_;
  RunOfSchedule run_;
  std::uint64_t passes_ = 0;
  std::optional<AnyTask> second_;
  static constexpr int kMostInARow = 8;
  int in_a_row_ = 0;
  std::uint64_t ran_ = 0;                  // the id of what ran last
  const runtime::Fiber* fiber_ = nullptr;  // of the step that is told; its memory is never unmapped
  std::uint64_t fiber_id_ = 0;
  runtime::Chooser* outer_;
};

std::string list_of_tasks(TestLoop& loop, Story& story) {
  std::string text;
  for (const AnyTask& task : all_tasks(&loop)) {
    const runtime::Fiber* const fiber = task.ref()->task()->fiber();
    absl::StrAppend(&text, text.empty() ? "" : "; ", story.task(*fiber));
    if (fiber->state == AIOFIBER_WAITING) absl::StrAppend(&text, " waits for ", story.kind_of_wait(*fiber));
  }
  return text;
}

// Whatever the scenario left to run; callbacks of its last steps, for example.
void run_what_is_ready(TestLoop& loop) {
  constexpr int kMostPasses = 1000;
  for (int i = 0; i < kMostPasses && loop.core().scheduler().ready_count() > 0; ++i) loop.core().run_once(0);
}

// After a failure. The other tasks end before the scenario's own, because they may refer to its variables.
void end_what_is_left(TestLoop& loop) {
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  for (const bool all : {false, true}) {
    for (const AnyTask& task : all_tasks(&loop)) {
      if (all || task.get_name() != Director::kScenarioName) task.cancel();
    }
    try {
      run_what_is_ready(loop);
    } catch (...) {
      // The failure is known.
    }
  }
}

std::string left_behind(TestLoop& loop, Story& story) {
  runtime::Scheduler& scheduler = loop.core().scheduler();
  std::string tasks = list_of_tasks(loop, story);
  if (!tasks.empty()) return "tasks are left: " + tasks;
  if (loop.live_timers() > 0) return absl::StrCat(loop.live_timers(), " timers are left");
  if (scheduler.reactor().has_fd_waiters()) return "waits for descriptors are left";
  if (scheduler.ready_count() > 0) return "callbacks that run for ever are left";
  return "";
}

}  // namespace

RunOfSchedule run_schedule(const std::function<void()>& scenario, const Plan& plan) {
  TestLoop loop;
  std::string reported;
  loop.set_exception_handler([&reported](EventLoop&, const ExceptionContext& context) {
    if (reported.empty()) reported = detail::describe(context);
  });
  std::string failure;
  RunOfSchedule run;
  {
    Director director(plan, &loop);
    try {
      const Task<> task =
          loop.create_task({.name = std::string(Director::kScenarioName)}, [&scenario] { scenario(); });
      director.story().scenario_is(task.ref()->task()->fiber()->id);
      loop.run_until_complete(task);
      run_what_is_ready(loop);
      failure = left_behind(loop, director.story());
      if (failure.empty()) failure = reported;
    } catch (const runtime::Deadlock&) {
      failure = "deadlock: " + list_of_tasks(loop, director.story());
    } catch (const TooManySteps&) {
      failure =
          absl::StrCat("more than ", plan.most_steps, " steps; ", list_of_tasks(loop, director.story()));
    } catch (...) {
      failure = repr(std::current_exception());
    }
    run = director.take();
  }
  if (!failure.empty()) end_what_is_left(loop);
  loop.close();
  run.failure = std::move(failure);
  return run;
}

RunOfSchedule run_directed(const std::function<void(runtime::Chooser&)>& scenario, const Plan& plan) {
  std::string failure;
  Director director(plan, nullptr);
  try {
    scenario(director);
  } catch (const TooManySteps&) {
    failure = absl::StrCat("more than ", plan.most_steps, " steps");
  } catch (...) {
    failure = repr(std::current_exception());
  }
  RunOfSchedule run = director.take();
  run.failure = std::move(failure);
  return run;
}

}  // namespace aiofiber::testing
