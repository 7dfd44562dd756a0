// SPDX-License-Identifier: Apache-2.0
//
// The interpreter's core: runs bodies and blocks of a program, one instruction after the other.
//
// It does not know what an instruction does. Each subject (tasks, flow, locks, queue, callbacks) is a class
// that holds the state of its instructions and registers them here by name.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../conf.h"
#include "program.h"
#include "wait_graph.h"

namespace conf {

// One running body or callback.
struct Frame {
  std::string me;                             // "a.1"
  std::optional<int> task;                    // the number of the task that runs it; none: a callback
  std::vector<asyncio::TaskGroup*> groups{};  // entered and not left, innermost last
  std::vector<asyncio::Timeout*> timeouts{};  // likewise
};

// The instruction `return`: leaves the whole body, through the blocks in between. A BaseException in Python.
class Return : public PyException {
 public:
  explicit Return(int number) : PyException("Return", number), value(number) {}
  int value;
};

class Machine {
 public:
  template <class Subject>
  using Step = void (Subject::*)(Frame&, const Instruction&);

  explicit Machine(const std::string& program) : bodies_(parse_program(program)) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  template <class Subject>
  void add(Subject& subject, std::initializer_list<std::pair<const char*, Step<Subject>>> steps) {
    for (const auto& [name, step] : steps) steps_.emplace(name, std::bind_front(step, &subject));
  }

  // The body as a task or a coroutine runs it: its start, its end and what it raises are traced.
  Value run_body(const std::string& name, Frame frame);
  void run(Frame& frame, const Code& code);

  WaitGraph& waits() { return waits_; }

  // How the instructions ended, for `--outcomes`: a name and "ok" or an exception -> how often.
  using Outcomes = std::map<std::pair<std::string, std::string>, int>;
  void count_outcomes() { outcomes_.emplace(); }
  const Outcomes& outcomes() const { return outcomes_.value(); }

 private:
  void run(Frame& frame, const Instruction& instruction);

  Bodies bodies_;
  std::map<std::string, std::function<void(Frame&, const Instruction&)>> steps_;
  WaitGraph waits_;
  std::optional<Outcomes> outcomes_;  // none: they are not counted
};

// ---- times of the programs are milliseconds; a limit of -1 is none
using std::chrono::milliseconds;
inline std::optional<asyncio::Duration> limit(int number) {
  if (number < 0) return std::nullopt;
  return milliseconds(number);
}

}  // namespace conf
