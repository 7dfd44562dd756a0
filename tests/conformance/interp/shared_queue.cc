// SPDX-License-Identifier: Apache-2.0
//
// A replaced queue stays, because tasks may still wait at it.
#include "shared_queue.h"

namespace conf {
namespace {
constexpr std::ptrdiff_t kSize = 2;
}

SharedQueue::SharedQueue(Machine& machine) {
  queues_.emplace_back(kSize);
  machine.add(*this, {{"put", &SharedQueue::put},
                      {"get", &SharedQueue::get},
                      {"putnow", &SharedQueue::put_nowait},
                      {"getnow", &SharedQueue::get_nowait},
                      {"qdone", &SharedQueue::task_done},
                      {"qjoin", &SharedQueue::join},
                      {"qshut", &SharedQueue::shutdown},
                      {"qnew", &SharedQueue::renew}});
}

void SharedQueue::put(Frame& frame, const Instruction& instruction) {
  asyncio::await(queue().put(instruction.number(0)));
  log(frame.me, "put", instruction.word(0));
}

void SharedQueue::get(Frame& frame, const Instruction&) {
  const int item = asyncio::await(queue().get());
  log(frame.me, "get", item);
}

void SharedQueue::put_nowait(Frame&, const Instruction& instruction) {
  queue().put_nowait(instruction.number(0));
}
void SharedQueue::get_nowait(Frame& frame, const Instruction&) {
  const int item = queue().get_nowait();
  log(frame.me, "get", item);
}
void SharedQueue::task_done(Frame&, const Instruction&) { queue().task_done(); }

void SharedQueue::join(Frame& frame, const Instruction&) {
  asyncio::await(queue().join());
  log(frame.me, "joined");
}

void SharedQueue::shutdown(Frame&, const Instruction& instruction) {
  queue().shutdown(instruction.word(0) == "1");
}
void SharedQueue::renew(Frame&, const Instruction&) { queues_.emplace_back(kSize); }

}  // namespace conf
