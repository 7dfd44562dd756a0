// SPDX-License-Identifier: Apache-2.0
//
// Instructions that make callbacks from their blocks: for the loop, for its timers, and for futures. A
// callback has its own frame and no task; no instruction in it may wait.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "machine.h"
#include "tasks.h"

namespace conf {

class Callbacks {
 public:
  Callbacks(Machine& machine, const Tasks& tasks);

 private:
  // The instruction's block; it is given the words that its trace begins with.
  std::function<void(const std::string&)> callback(const Frame& frame, const Instruction& instruction);

  void call_soon(Frame& frame, const Instruction& instruction);
  void call_later(Frame& frame, const Instruction& instruction);
  void call_at(Frame& frame, const Instruction& instruction);
  void cancel_handle(Frame& frame, const Instruction& instruction);
  void add_done_callback(Frame& frame, const Instruction& instruction);
  void remove_done_callback(Frame& frame, const Instruction& instruction);

  Machine& machine_;
  const Tasks& tasks_;
  int callbacks_ = 0;
  std::map<std::string, asyncio::Handle> handles_;
  std::map<std::string, std::pair<asyncio::Future<Value>, asyncio::CallbackId>> removable_;
};

}  // namespace conf
