// SPDX-License-Identifier: Apache-2.0
//
// The instructions that may wait for the queue.
#include "../shared_queue.h"

#include "bodies.h"

namespace conf {

Body<> SharedQueue::put(Style, Frame& frame, const Instruction& instruction) {
  AWAIT(queue().put(instruction.number(0)));
  log(frame.me, "put", instruction.word(0));
  RETURN;
}

Body<> SharedQueue::get(Style, Frame& frame, const Instruction&) {
  const int item = AWAIT(queue().get());
  log(frame.me, "get", item);
  RETURN;
}

Body<> SharedQueue::join(Style, Frame& frame, const Instruction&) {
  AWAIT(queue().join());
  log(frame.me, "joined");
  RETURN;
}

}  // namespace conf
