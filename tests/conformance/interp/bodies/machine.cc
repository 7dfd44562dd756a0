// SPDX-License-Identifier: Apache-2.0
//
// Common steps of every instruction: traces of a body's start and end, the wait graph, the count of outcomes.
#include "bodies.h"

namespace conf {

Body<Value> Machine::run_body(Style style, std::string name, Frame frame) {
  log(frame.me, "start");
  try {
    try {
      CALL(run(style, frame, program_.at(name)));
    } catch (const Return& r) {
      log(frame.me, "return", r.value);
      RETURN r.value;
    }
    log(frame.me, "end");
    RETURN std::nullopt;
  } catch (...) {
    log(frame.me, "out", exc());
    throw;
  }
}

Body<> Machine::run(Style style, Frame& frame, const Code& code) {
  for (const Instruction& instruction : code) {
    if (frame.task) waits_.forget_wait(*frame.task);
    CALL(step(style, frame, instruction));
  }
  RETURN;
}

Body<> Machine::step(Style, Frame& frame, const Instruction& instruction) {
  const AnyStep& any = steps_.at(instruction.name);
  try {
#ifdef CONF_COROUTINES
    if (any.in_coroutine) {
      co_await any.in_coroutine(frame, instruction);
    } else {
      any.call(frame, instruction);
    }
#else
    any.call(frame, instruction);
#endif
  } catch (...) {
    if (outcomes_) ++(*outcomes_)[{instruction.name, exc_name(std::current_exception())}];
    throw;
  }
  if (outcomes_) ++(*outcomes_)[{instruction.name, "ok"}];
  RETURN;
}

}  // namespace conf
