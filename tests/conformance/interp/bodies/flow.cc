// SPDX-License-Identifier: Apache-2.0
//
// `Return` passes every `try`, as in Python, where it is no Exception. `finally` may await, so it is
// try_finally().
#include "../flow.h"

#include "bodies.h"

namespace conf {

Body<> Flow::try_swallowing(Style style, Frame& frame, const Instruction& instruction) {
  try {
    CALL(try_passing_on(style, frame, instruction));
  } catch (const Return&) {
    throw;
  } catch (...) {  // try_passing_on traced it
  }
  RETURN;
}

Body<> Flow::try_passing_on(Style style, Frame& frame, const Instruction& instruction) {
  try {
    CALL(machine_.run(style, frame, instruction.blocks.at(0)));
  } catch (const Return&) {
    throw;
  } catch (...) {
    log(frame.me, "caught", exc());
    throw;
  }
  RETURN;
}

Body<> Flow::try_with_last(Style style, Frame& frame, const Instruction& instruction) {
  const auto body = [&]() -> Body<> { RETURN CALL(machine_.run(style, frame, instruction.blocks.at(0))); };
  const auto last = [&]() -> Body<> {
    log(frame.me, "finally");
    CALL(machine_.run(style, frame, instruction.blocks.at(1)));
    RETURN;
  };
  CALL(try_finally(body, last));
  RETURN;
}

Body<> Flow::timeout(Style style, Frame& frame, const Instruction& instruction) {
  bool expired = false;
  const auto block = [&]() -> Body<> { RETURN CALL(machine_.run(style, frame, instruction.blocks.at(0))); };
  const auto body = [&](asyncio::Timeout& scope) -> Body<> {
    frame.timeouts.push_back(&scope);
    // Leaving the scope does not suspend: expired() at the end of the body is expired() behind it.
    const auto leave = [&] {
      frame.timeouts.pop_back();
      expired = scope.expired();
    };
    RETURN CALL(try_finally(block, leave));
  };
  const auto whole = [&]() -> Body<> {
    AWAIT(asyncio::timeout(milliseconds(instruction.number(0)), body));
    RETURN;
  };
  CALL(try_finally(whole, [&] { log(frame.me, "timeout expired", expired); }));
  RETURN;
}

Body<> Flow::group(Style style, Frame& frame, const Instruction& instruction) {
  const auto block = [&]() -> Body<> { RETURN CALL(machine_.run(style, frame, instruction.blocks.at(0))); };
  const auto body = [&](asyncio::TaskGroup& group) -> Body<> {
    frame.groups.push_back(&group);
    RETURN CALL(try_finally(block, [&] { frame.groups.pop_back(); }));
  };
  AWAIT(asyncio::task_group(body));
  RETURN;
}

}  // namespace conf
