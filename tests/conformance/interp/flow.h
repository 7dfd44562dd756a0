// SPDX-License-Identifier: Apache-2.0
//
// Instructions for the flow of control: errors, `finally`, time limits and groups. The frame holds their
// scopes, and inner instructions use the innermost one.
#pragma once

#include "machine.h"

namespace conf {

class Flow {
 public:
  explicit Flow(Machine& machine);

 private:
  void raise(Frame& frame, const Instruction& instruction);
  void leave_body(Frame& frame, const Instruction& instruction);
  void try_swallowing(Frame& frame, const Instruction& instruction);
  void try_passing_on(Frame& frame, const Instruction& instruction);
  void try_with_last(Frame& frame, const Instruction& instruction);
  void timeout(Frame& frame, const Instruction& instruction);
  void reschedule(Frame& frame, const Instruction& instruction);
  void group(Frame& frame, const Instruction& instruction);

  Machine& machine_;
};

}  // namespace conf
