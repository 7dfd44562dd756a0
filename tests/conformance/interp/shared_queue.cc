// SPDX-License-Identifier: Apache-2.0
//
// The instructions that never wait; bodies/shared_queue.cc has the others. A replaced queue stays, because
// tasks may still wait at it.
#include "shared_queue.h"

namespace conf {
namespace {
constexpr std::ptrdiff_t kSize = 2;
}

SharedQueue::SharedQueue(Machine& machine) {
  queues_.emplace_back(kSize);
  machine.add(*this, {{"putnow", &SharedQueue::put_nowait},
                      {"getnow", &SharedQueue::get_nowait},
                      {"qdone", &SharedQueue::task_done},
                      {"qshut", &SharedQueue::shutdown},
                      {"qnew", &SharedQueue::renew}});
  machine.add_waiting(*this, {{"put", &SharedQueue::put, &SharedQueue::put},
                              {"get", &SharedQueue::get, &SharedQueue::get},
                              {"qjoin", &SharedQueue::join, &SharedQueue::join}});
}

void SharedQueue::put_nowait(Frame&, const Instruction& instruction) {
  queue().put_nowait(instruction.number(0));
}
void SharedQueue::get_nowait(Frame& frame, const Instruction&) {
  const int item = queue().get_nowait();
  log(frame.me, "get", item);
}
void SharedQueue::task_done(Frame&, const Instruction&) { queue().task_done(); }

void SharedQueue::shutdown(Frame&, const Instruction& instruction) {
  queue().shutdown(instruction.word(0) == "1");
}
void SharedQueue::renew(Frame&, const Instruction&) { queues_.emplace_back(kSize); }

}  // namespace conf
