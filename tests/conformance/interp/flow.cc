// SPDX-License-Identifier: Apache-2.0
//
// The instructions that never wait; bodies/flow.cc has the others.
#include "flow.h"

namespace conf {

Flow::Flow(Machine& machine) : machine_(machine) {
  machine.add(*this,
              {{"raise", &Flow::raise}, {"return", &Flow::leave_body}, {"resched", &Flow::reschedule}});
  machine.add_waiting(*this, {{"try", &Flow::try_swallowing, &Flow::try_swallowing},
                              {"tryraise", &Flow::try_passing_on, &Flow::try_passing_on},
                              {"finally", &Flow::try_with_last, &Flow::try_with_last},
                              {"timeout", &Flow::timeout, &Flow::timeout},
                              {"group", &Flow::group, &Flow::group}});
}

void Flow::raise(Frame&, const Instruction& instruction) { throw ValueError(instruction.number(0)); }
void Flow::leave_body(Frame&, const Instruction& instruction) { throw Return(instruction.number(0)); }

void Flow::reschedule(Frame& frame, const Instruction& instruction) {
  if (frame.timeouts.empty()) return;
  std::optional<asyncio::TimePoint> when;
  const int delay = instruction.number(0);
  if (delay >= 0) when = current_loop().time() + milliseconds(delay);
  frame.timeouts.back()->reschedule(when);
  log(frame.me, "resched", instruction.word(0));
}

}  // namespace conf
