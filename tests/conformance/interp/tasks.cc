// SPDX-License-Identifier: Apache-2.0
//
// The instructions that never wait; bodies/tasks.cc has the others. An argument of log() with a side effect
// is in a separate statement: C++ does not fix the order of arguments, and the tests compare the order of the
// trace.
#include "tasks.h"

namespace conf {
namespace {
constexpr std::size_t kMostTasks = 60;
}

Tasks::Tasks(Machine& machine) : machine_(machine) {
  machine.add(*this, {{"log", &Tasks::trace_text},
                      {"spawn", &Tasks::spawn},
                      {"gspawn", &Tasks::spawn_in_group},
                      {"fut", &Tasks::make_future},
                      {"set", &Tasks::set},
                      {"fail", &Tasks::fail},
                      {"cancel", &Tasks::cancel},
                      {"uncancel", &Tasks::uncancel}});
  machine.add_waiting(*this, {{"await", &Tasks::await, &Tasks::await},
                              {"sleep", &Tasks::sleep, &Tasks::sleep},
                              {"gather", &Tasks::gather, &Tasks::gather},
                              {"wait", &Tasks::wait, &Tasks::wait},
                              {"ascomp", &Tasks::as_completed, &Tasks::as_completed},
                              {"waitfor", &Tasks::wait_for, &Tasks::wait_for},
                              {"wfco", &Tasks::wait_for_coroutine, &Tasks::wait_for_coroutine},
                              {"shield", &Tasks::shield, &Tasks::shield}});
}

// ---- starting
template <class Create>
std::optional<Tasks::Waitable> Tasks::start(const std::string& name, Create create) {
  if (tasks_.size() >= kMostTasks) return std::nullopt;
  const int id = static_cast<int>(tasks_.size());
  const std::string label = name + "." + std::to_string(id);
  tasks_.push_back(machine_.in_next_style([&](auto style) -> asyncio::Task<Value> {
    const auto body = [this, style, name, label, id] { return machine_.run_body(style, name, {label, id}); };
    return create(asyncio::TaskOptions{.name = label}, body);
  }));
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

}  // namespace conf
