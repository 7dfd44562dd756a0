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
  CONF_WAITING(try_swallowing);
  CONF_WAITING(try_passing_on);
  CONF_WAITING(try_with_last);
  CONF_WAITING(timeout);
  void reschedule(Frame& frame, const Instruction& instruction);
  CONF_WAITING(group);

  Machine& machine_;
};

}  // namespace conf
