// SPDX-License-Identifier: Apache-2.0
//
// Instructions for tasks and futures: start, complete and cancel them, and wait for them in every way. They
// are in variables that all tasks of a program share.
#pragma once

#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "machine.h"

namespace conf {

class Tasks {
 public:
  // A variable's content; its number is that of the wait graph.
  struct Waitable {
    asyncio::Future<Value> future;
    int id = 0;
    bool is_task() const { return id >= 0; }
  };

  explicit Tasks(Machine& machine);

  // Runs the body `main`, cancels in rounds what is left, and reports each task.
  void run_program(Fibers);
  asyncio::Coro<> run_program(Coroutines);
  // A copy, because other tasks may set the variable while this one waits; an unset one is traced.
  std::optional<Waitable> get(const Frame& frame, const std::string& name) const;

 private:
  // create(options, function) makes the task: create_task, or that of a group.
  template <class Create>
  std::optional<Waitable> start(const std::string& name, Create create);
  std::optional<Waitable> start(const std::string& name);

  bool cycle(const Frame& frame, const std::vector<Waitable>& targets);
  std::optional<Waitable> get_waitable(const Frame& frame, const std::string& name);
  std::optional<Waitable> get_pending(const Frame& frame, const Instruction& instruction);

  void trace_text(Frame& frame, const Instruction& instruction);
  void spawn(Frame& frame, const Instruction& instruction);
  void spawn_in_group(Frame& frame, const Instruction& instruction);
  void make_future(Frame& frame, const Instruction& instruction);
  void set(Frame& frame, const Instruction& instruction);
  void fail(Frame& frame, const Instruction& instruction);
  void cancel(Frame& frame, const Instruction& instruction);
  void uncancel(Frame& frame, const Instruction& instruction);
  CONF_WAITING(await);
  CONF_WAITING(sleep);
  CONF_WAITING(gather);
  CONF_WAITING(wait);
  CONF_WAITING(as_completed);
  CONF_WAITING(wait_for);
  CONF_WAITING(wait_for_coroutine);
  CONF_WAITING(shield);

  Machine& machine_;
  std::map<std::string, Waitable> variables_;
  std::vector<asyncio::Task<Value>> tasks_;
  std::vector<asyncio::Future<Value>> futures_;  // keeps every future alive: no reports at destruction
  // CPython's callbacks and timer stay when such a loop is left early. So do the ranges here, and the numbers
  // of the passes agree.
  std::list<asyncio::AsCompleted<Value>> ranges_;
  int coroutines_ = 0;
};

}  // namespace conf
