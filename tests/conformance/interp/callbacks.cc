// SPDX-License-Identifier: Apache-2.0
//
// A callback's name in the trace is its maker's name with a number. The number is drawn even if the callback
// is not added in the end.
#include "callbacks.h"

namespace conf {

Callbacks::Callbacks(Machine& machine, const Tasks& tasks) : machine_(machine), tasks_(tasks) {
  machine.add(*this, {{"soon", &Callbacks::call_soon},
                      {"later", &Callbacks::call_later},
                      {"at", &Callbacks::call_at},
                      {"hcancel", &Callbacks::cancel_handle},
                      {"ondone", &Callbacks::add_done_callback},
                      {"undone", &Callbacks::remove_done_callback}});
}

std::function<void(const std::string&)> Callbacks::callback(const Frame& frame,
                                                            const Instruction& instruction) {
  const std::string label = frame.me + "~" + std::to_string(callbacks_++);
  return [this, label, &code = instruction.blocks.at(0)](const std::string& called) {
    log(label, called);
    Frame own{label, std::nullopt};
    machine_.run(Fibers(), own, code);
  };
}

// ---- of the loop
void Callbacks::call_soon(Frame& frame, const Instruction& instruction) {
  handles_[instruction.word(0)] = current_loop().call_soon(callback(frame, instruction), "called");
}

void Callbacks::call_later(Frame& frame, const Instruction& instruction) {
  const auto delay = milliseconds(instruction.number(1));
  handles_[instruction.word(0)] = current_loop().call_later(delay, callback(frame, instruction), "called");
}

void Callbacks::call_at(Frame& frame, const Instruction& instruction) {
  const auto when = current_loop().time() + milliseconds(instruction.number(1));
  handles_[instruction.word(0)] = current_loop().call_at(when, callback(frame, instruction), "called");
}

void Callbacks::cancel_handle(Frame& frame, const Instruction& instruction) {
  const auto found = handles_.find(instruction.word(0));
  if (found == handles_.end()) return;
  log(frame.me, "hcancel", found->first, found->second.cancelled());
  found->second.cancel();
}

// ---- of futures
void Callbacks::add_done_callback(Frame& frame, const Instruction& instruction) {
  const auto call = callback(frame, instruction);
  const auto target = tasks_.get(frame, instruction.word(1));
  if (!target) return;
  const auto done = [call](const asyncio::Future<Value>& future) { call("called " + st(future)); };
  removable_[instruction.word(0)] = {target->future, target->future.add_done_callback(done)};
}

void Callbacks::remove_done_callback(Frame& frame, const Instruction& instruction) {
  const auto found = removable_.find(instruction.word(0));
  if (found == removable_.end()) return;
  auto& [future, id] = found->second;
  const auto removed = future.remove_done_callback(id);
  log(frame.me, "undone", found->first, removed);
}

}  // namespace conf
