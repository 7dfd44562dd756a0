// SPDX-License-Identifier: Apache-2.0
//
// The instructions that may wait for tasks and futures, and the program as a whole. What log() prints is
// computed before, because C++ does not fix the order of arguments.
#include "../tasks.h"

#include <algorithm>

#include "bodies.h"

namespace conf {
namespace {

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

Body<> Tasks::run_program(Style) {
  const auto first = start("main");
  const asyncio::WaitOptions five_seconds{.timeout = 5s};
  const asyncio::WaitOptions one_second{.timeout = 1s};
  AWAIT(asyncio::wait(list_of(first->future), five_seconds));
  log("-- cancel what is left");
  for (int round = 0; round < kCancelRounds; ++round) {
    std::vector<asyncio::Task<Value>> live;
    for (const auto& task : tasks_) {
      if (!task.done()) live.push_back(task);
    }
    if (live.empty()) break;
    for (auto& task : live) task.cancel("end" + std::to_string(round));
    AWAIT(asyncio::wait(live, one_second));
  }
  for (const auto& task : tasks_) log("report", task.get_name(), st(task), "cancelling", task.cancelling());
  for (const auto& future : futures_) (void)st(future);  // their exceptions count as read
  RETURN;
}

// ---- waiting
Body<> Tasks::await(Style, Frame& frame, const Instruction& instruction) {
  const auto target = get_waitable(frame, instruction.word(0));
  if (!target) RETURN;
  const Value value = AWAIT(target->future);
  log(frame.me, "got", instruction.word(0), value);
  RETURN;
}

Body<> Tasks::sleep(Style, Frame& frame, const Instruction& instruction) {
  AWAIT(asyncio::sleep(milliseconds(instruction.number(0))));
  log(frame.me, "slept", instruction.word(0));
  RETURN;
}

Body<> Tasks::gather(Style, Frame& frame, const Instruction& instruction) {
  std::vector<Waitable> targets;
  for (std::size_t i = 1; i < instruction.words.size(); ++i) {
    if (const auto target = get(frame, instruction.words[i])) targets.push_back(*target);
  }
  if (cycle(frame, targets)) RETURN;
  if (instruction.word(0) == "1") {
    const auto results = AWAIT(asyncio::gather(asyncio::return_exceptions, futures_of(targets)));
    log(frame.me, "gathered", results);
  } else {
    const auto results = AWAIT(asyncio::gather(futures_of(targets)));
    log(frame.me, "gathered", results);
  }
  RETURN;
}

Body<> Tasks::wait(Style, Frame& frame, const Instruction& instruction) {
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
  if (targets.empty() || cycle(frame, targets)) RETURN;
  const asyncio::WaitOptions options{.timeout = limit(instruction.number(1)),
                                     .return_when = modes.at(instruction.word(0))};
  const auto result = AWAIT(asyncio::wait(futures_of(targets), options));
  std::vector<std::string> done;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (contains(result.done, targets[i].future)) done.push_back(names[i]);
  }
  log(frame.me, "waited", done);
  RETURN;
}

Body<> Tasks::as_completed(Style, Frame& frame, const Instruction& instruction) {
  std::vector<Waitable> targets;
  for (std::size_t i = 1; i < instruction.words.size(); ++i) {
    const auto found = variables_.find(instruction.words[i]);
    if (found != variables_.end()) targets.push_back(found->second);
  }
  if (targets.empty() || cycle(frame, targets)) RETURN;
  ranges_.push_back(asyncio::as_completed(futures_of(targets), limit(instruction.number(0))));
  for (auto&& item : ranges_.back()) {
    try {
      const Value value = AWAIT(std::move(item));
      log(frame.me, "next", value);
    } catch (const std::exception&) {
      log(frame.me, "next raises", exc());
    }
  }
  log(frame.me, "no next");
  RETURN;
}

Body<> Tasks::wait_for(Style, Frame& frame, const Instruction& instruction) {
  const auto target = get_waitable(frame, instruction.word(1));
  if (!target) RETURN;
  const Value value = AWAIT(asyncio::wait_for(target->future, limit(instruction.number(0))));
  log(frame.me, "wf", value);
  RETURN;
}

Body<> Tasks::wait_for_coroutine(Style, Frame& frame, const Instruction& instruction) {
  const std::string& name = instruction.word(1);
  const std::string label = name + ".c" + std::to_string(coroutines_++);
  if (coroutines_ > kMostCoroutines) RETURN;
  auto limited = machine_.in_next_style([&](auto style) {
    const auto body = asyncio::coroutine([this, style, name, label, id = frame.task] {
      return machine_.run_body(style, name, {label, id});
    });
    return asyncio::wait_for(body(), limit(instruction.number(0)));
  });
  const Value value = AWAIT(std::move(limited));
  log(frame.me, "wf", value);
  RETURN;
}

Body<> Tasks::shield(Style, Frame& frame, const Instruction& instruction) {
  const auto target = get_waitable(frame, instruction.word(0));
  if (!target) RETURN;
  const Value value = AWAIT(asyncio::shield(target->future));
  log(frame.me, "shielded", value);
  RETURN;
}

}  // namespace conf
