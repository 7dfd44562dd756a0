// SPDX-License-Identifier: Apache-2.0
//
// Common steps of every instruction: traces of a body's start and end, the wait graph, the count of outcomes.
#include "machine.h"

namespace conf {

Value Machine::run_body(const std::string& name, Frame frame) {
  log(frame.me, "start");
  try {
    try {
      run(frame, bodies_.at(name));
    } catch (const Return& r) {
      log(frame.me, "return", r.value);
      return r.value;
    }
    log(frame.me, "end");
    return std::nullopt;
  } catch (...) {
    log(frame.me, "out", exc());
    throw;
  }
}

void Machine::run(Frame& frame, const Code& code) {
  for (const Instruction& instruction : code) {
    if (frame.task) waits_.forget_wait(*frame.task);
    run(frame, instruction);
  }
}

void Machine::run(Frame& frame, const Instruction& instruction) {
  const auto& step = steps_.at(instruction.name);
  if (!outcomes_) return step(frame, instruction);
  try {
    step(frame, instruction);
  } catch (...) {
    ++(*outcomes_)[{instruction.name, exc_name(std::current_exception())}];
    throw;
  }
  ++(*outcomes_)[{instruction.name, "ok"}];
}

}  // namespace conf
