// SPDX-License-Identifier: Apache-2.0
//
// An argument of log() with a side effect is in a separate statement: C++ does not fix the order of
// arguments, and the tests compare the order of the trace.
#include "tasks.h"

#include <algorithm>

namespace conf {
namespace {

constexpr std::size_t kMostTasks = 60;
constexpr int kMostCoroutines = 60;
constexpr int kCancelRounds = 20;

std::vector<asyncio::Future<Value>> futures_of(const std::vector<Tasks::Waitable>& targets) {
  std::vector<asyncio::Future<Value>> futures;
  for (const Tasks::Waitable& target : targets) futures.push_back(target.future);
  return futures;
}

template <class Items, class Item>
bool contains(const Items& items, const Item& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

}  // namespace

Tasks::Tasks(Machine& machine) : machine_(machine) {
  machine.add(*this, {{"log", &Tasks::trace_text},
                      {"spawn", &Tasks::spawn},
                      {"gspawn", &Tasks::spawn_in_group},
                      {"fut", &Tasks::make_future},
                      {"set", &Tasks::set},
                      {"fail", &Tasks::fail},
                      {"cancel", &Tasks::cancel},
                      {"uncancel", &Tasks::uncancel},
                      {"await", &Tasks::await},
                      {"sleep", &Tasks::sleep},
                      {"gather", &Tasks::gather},
                      {"wait", &Tasks::wait},
                      {"ascomp", &Tasks::as_completed},
                      {"waitfor", &Tasks::wait_for},
                      {"wfco", &Tasks::wait_for_coroutine},
                      {"shield", &Tasks::shield}});
}

void Tasks::run_program() {
  const auto first = start("main");
  asyncio::await(asyncio::wait(list_of(first->future), {.timeout = 5s}));
  log("-- cancel what is left");
  for (int round = 0; round < kCancelRounds; ++round) {
    std::vector<asyncio::Task<Value>> live;
    for (const auto& task : tasks_) {
      if (!task.done()) live.push_back(task);
    }
    if (live.empty()) break;
    for (auto& task : live) task.cancel("end" + std::to_string(round));
    asyncio::await(asyncio::wait(live, {.timeout = 1s}));
  }
  for (const auto& task : tasks_) log("report", task.get_name(), st(task), "cancelling", task.cancelling());
  for (const auto& future : futures_) (void)st(future);  // their exceptions count as read
}

// ---- starting
template <class Create>
std::optional<Tasks::Waitable> Tasks::start(const std::string& name, Create create) {
  if (tasks_.size() >= kMostTasks) return std::nullopt;
  const int id = static_cast<int>(tasks_.size());
  const std::string label = name + "." + std::to_string(id);
  const auto body = [this, name, label, id] { return machine_.run_body(name, {label, id}); };
  tasks_.push_back(create(asyncio::TaskOptions{.name = label}, body));
  return Waitable{tasks_.back(), id};
}

std::optional<Tasks::Waitable> Tasks::start(const std::string& name) {
  return start(name, [](auto&&... args) { return asyncio::create_task(args...); });
}

void Tasks::spawn(Frame&, const Instruction& instruction) {
  if (const auto task = start(instruction.word(0))) variables_.insert_or_assign(instruction.word(1), *task);
}

void Tasks::spawn_in_group(Frame& frame, const Instruction& instruction) {
  if (frame.groups.empty()) return;
  try {
    const auto create = [&](auto&&... args) { return frame.groups.back()->create_task(args...); };
    const auto task = start(instruction.word(0), create);
    if (task) machine_.waits().add_child(frame.task.value(), task->id, tasks_.back());
  } catch (const asyncio::RuntimeError&) {
    log(frame.me, "group refuses");
  }
}

void Tasks::make_future(Frame&, const Instruction& instruction) {
  futures_.push_back(asyncio::get_running_loop().create_future<Value>());
  const Waitable future{futures_.back(), -static_cast<int>(futures_.size())};
  variables_.insert_or_assign(instruction.word(0), future);
}

// ---- variables
std::optional<Tasks::Waitable> Tasks::get(const Frame& frame, const std::string& name) const {
  if (const auto found = variables_.find(name); found != variables_.end()) return found->second;
  log(frame.me, "unset", name);
  return std::nullopt;
}

// Would waiting for the targets close a ring of tasks? If not, notes that this task waits for them.
bool Tasks::cycle(const Frame& frame, const std::vector<Waitable>& targets) {
  std::vector<int> ids;
  for (const Waitable& target : targets) ids.push_back(target.id);
  if (!machine_.waits().closes_ring(frame.task.value(), ids)) return false;
  log(frame.me, "cycle");
  return true;
}

// The variable's content, or nothing if it is unset or waiting for it would close a ring.
std::optional<Tasks::Waitable> Tasks::get_waitable(const Frame& frame, const std::string& name) {
  auto target = get(frame, name);
  if (!target || cycle(frame, {*target})) return std::nullopt;
  return target;
}

// The variable's content if it is a pending future that is no task.
std::optional<Tasks::Waitable> Tasks::get_pending(const Frame& frame, const Instruction& instruction) {
  auto target = get(frame, instruction.word(0));
  if (target && (target->is_task() || target->future.done())) {
    log(frame.me, instruction.name, "skipped");
    return std::nullopt;
  }
  return target;
}

// ---- completing and cancelling
void Tasks::trace_text(Frame& frame, const Instruction& instruction) { log(frame.me, instruction.word(0)); }

void Tasks::set(Frame& frame, const Instruction& instruction) {
  if (auto target = get_pending(frame, instruction)) target->future.set_result(Value(instruction.number(1)));
}

void Tasks::fail(Frame& frame, const Instruction& instruction) {
  if (auto target = get_pending(frame, instruction)) {
    target->future.set_exception(ValueError(instruction.number(1)));
  }
}

void Tasks::cancel(Frame& frame, const Instruction& instruction) {
  const std::string& name = instruction.word(0);
  if (auto target = get(frame, name)) {
    const bool cancelled = target->future.cancel(instruction.word(1));
    log(frame.me, "cancel", name, cancelled);
  }
}

void Tasks::uncancel(Frame& frame, const Instruction& instruction) {
  const std::string& name = instruction.word(0);
  std::optional<int> id;
  if (name == "self") {
    id = frame.task;
  } else if (const auto target = get(frame, name); target && target->is_task()) {
    id = target->id;
  }
  if (!id) return;
  const int left = tasks_[static_cast<std::size_t>(*id)].uncancel();
  log(frame.me, "uncancel", name, left);
}

// ---- waiting
void Tasks::await(Frame& frame, const Instruction& instruction) {
  const auto target = get_waitable(frame, instruction.word(0));
  if (!target) return;
  const Value value = asyncio::await(target->future);
  log(frame.me, "got", instruction.word(0), value);
}

void Tasks::sleep(Frame& frame, const Instruction& instruction) {
  asyncio::await(asyncio::sleep(milliseconds(instruction.number(0))));
  log(frame.me, "slept", instruction.word(0));
}

void Tasks::gather(Frame& frame, const Instruction& instruction) {
  std::vector<Waitable> targets;
  for (std::size_t i = 1; i < instruction.words.size(); ++i) {
    if (const auto target = get(frame, instruction.words[i])) targets.push_back(*target);
  }
  if (cycle(frame, targets)) return;
  if (instruction.word(0) == "1") {
    const auto results = asyncio::await(asyncio::gather(asyncio::return_exceptions, futures_of(targets)));
    log(frame.me, "gathered", results);
  } else {
    const auto results = asyncio::await(asyncio::gather(futures_of(targets)));
    log(frame.me, "gathered", results);
  }
}

void Tasks::wait(Frame& frame, const Instruction& instruction) {
  static const std::map<std::string, asyncio::ReturnWhen> modes = {{"all", asyncio::ALL_COMPLETED},
                                                                   {"first", asyncio::FIRST_COMPLETED},
                                                                   {"exc", asyncio::FIRST_EXCEPTION}};
  std::vector<std::string> names;
  std::vector<Waitable> targets;
  for (std::size_t i = 2; i < instruction.words.size(); ++i) {
    const auto found = variables_.find(instruction.words[i]);
    if (found == variables_.end() || contains(names, found->first)) continue;
    names.push_back(found->first);
    targets.push_back(found->second);
  }
  if (targets.empty() || cycle(frame, targets)) return;
  const auto result =
      asyncio::await(asyncio::wait(futures_of(targets), {.timeout = limit(instruction.number(1)),
                                                         .return_when = modes.at(instruction.word(0))}));
  std::vector<std::string> done;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (contains(result.done, targets[i].future)) done.push_back(names[i]);
  }
  log(frame.me, "waited", done);
}

void Tasks::as_completed(Frame& frame, const Instruction& instruction) {
  std::vector<Waitable> targets;
  for (std::size_t i = 1; i < instruction.words.size(); ++i) {
    const auto found = variables_.find(instruction.words[i]);
    if (found != variables_.end()) targets.push_back(found->second);
  }
  if (targets.empty() || cycle(frame, targets)) return;
  ranges_.push_back(asyncio::as_completed(futures_of(targets), limit(instruction.number(0))));
  for (auto&& item : ranges_.back()) {
    try {
      const Value value = asyncio::await(std::move(item));
      log(frame.me, "next", value);
    } catch (const std::exception&) {
      log(frame.me, "next raises", exc());
    }
  }
  log(frame.me, "no next");
}

void Tasks::wait_for(Frame& frame, const Instruction& instruction) {
  const auto target = get_waitable(frame, instruction.word(1));
  if (!target) return;
  const Value value = asyncio::await(asyncio::wait_for(target->future, limit(instruction.number(0))));
  log(frame.me, "wf", value);
}

void Tasks::wait_for_coroutine(Frame& frame, const Instruction& instruction) {
  const std::string& name = instruction.word(1);
  const std::string label = name + ".c" + std::to_string(coroutines_++);
  if (coroutines_ > kMostCoroutines) return;
  auto body = asyncio::coroutine([this, name, label, id = frame.task] {
    return machine_.run_body(name, {label, id});
  });
  const Value value = asyncio::await(asyncio::wait_for(body(), limit(instruction.number(0))));
  log(frame.me, "wf", value);
}

void Tasks::shield(Frame& frame, const Instruction& instruction) {
  const auto target = get_waitable(frame, instruction.word(0));
  if (!target) return;
  const Value value = asyncio::await(asyncio::shield(target->future));
  log(frame.me, "shielded", value);
}

}  // namespace conf
