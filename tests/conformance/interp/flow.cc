// SPDX-License-Identifier: Apache-2.0
//
// `Return` passes every `try`, as in Python, where it is no Exception. `finally` may await, so it is
// try_finally().
#include "flow.h"

namespace conf {

Flow::Flow(Machine& machine) : machine_(machine) {
  machine.add(*this, {{"raise", &Flow::raise},
                      {"return", &Flow::leave_body},
                      {"try", &Flow::try_swallowing},
                      {"tryraise", &Flow::try_passing_on},
                      {"finally", &Flow::try_with_last},
                      {"timeout", &Flow::timeout},
                      {"resched", &Flow::reschedule},
                      {"group", &Flow::group}});
}

void Flow::raise(Frame&, const Instruction& instruction) { throw ValueError(instruction.number(0)); }
void Flow::leave_body(Frame&, const Instruction& instruction) { throw Return(instruction.number(0)); }

void Flow::try_swallowing(Frame& frame, const Instruction& instruction) {
  try {
    try_passing_on(frame, instruction);
  } catch (const Return&) {
    throw;
  } catch (...) {  // try_passing_on traced it
  }
}

void Flow::try_passing_on(Frame& frame, const Instruction& instruction) {
  try {
    machine_.run(frame, instruction.blocks.at(0));
  } catch (const Return&) {
    throw;
  } catch (...) {
    log(frame.me, "caught", exc());
    throw;
  }
}

void Flow::try_with_last(Frame& frame, const Instruction& instruction) {
  try_finally([&] { machine_.run(frame, instruction.blocks.at(0)); },
              [&] {
                log(frame.me, "finally");
                machine_.run(frame, instruction.blocks.at(1));
              });
}

void Flow::timeout(Frame& frame, const Instruction& instruction) {
  bool expired = false;
  const auto body = [&](asyncio::Timeout& scope) {
    frame.timeouts.push_back(&scope);
    // Leaving the scope does not suspend: expired() at the end of the body is expired() behind it.
    try_finally([&] { machine_.run(frame, instruction.blocks.at(0)); },
                [&] {
                  frame.timeouts.pop_back();
                  expired = scope.expired();
                });
  };
  try_finally([&] { asyncio::await(asyncio::timeout(milliseconds(instruction.number(0)), body)); },
              [&] { log(frame.me, "timeout expired", expired); });
}

void Flow::reschedule(Frame& frame, const Instruction& instruction) {
  if (frame.timeouts.empty()) return;
  std::optional<asyncio::TimePoint> when;
  const int delay = instruction.number(0);
  if (delay >= 0) when = current_loop().time() + milliseconds(delay);
  frame.timeouts.back()->reschedule(when);
  log(frame.me, "resched", instruction.word(0));
}

void Flow::group(Frame& frame, const Instruction& instruction) {
  asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& group) {
    frame.groups.push_back(&group);
    try_finally([&] { machine_.run(frame, instruction.blocks.at(0)); }, [&] { frame.groups.pop_back(); });
  }));
}

}  // namespace conf
