// SPDX-License-Identifier: Apache-2.0
//
// Instructions for a queue that all tasks of a program share; `qnew` replaces it.
#pragma once

#include <list>

#include "machine.h"

namespace conf {

class SharedQueue {
 public:
  explicit SharedQueue(Machine& machine);

 private:
  using Queue = asyncio::Queue<int>;
  Queue& queue() { return queues_.back(); }

  CONF_WAITING(put);
  CONF_WAITING(get);
  void put_nowait(Frame& frame, const Instruction& instruction);
  void get_nowait(Frame& frame, const Instruction& instruction);
  void task_done(Frame& frame, const Instruction& instruction);
  CONF_WAITING(join);
  void shutdown(Frame& frame, const Instruction& instruction);
  void renew(Frame& frame, const Instruction& instruction);

  std::list<Queue> queues_;  // the last one is in use, the others may have waiters
};

}  // namespace conf
