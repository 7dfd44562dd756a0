// SPDX-License-Identifier: Apache-2.0
//
// A block under a lock is acquire(), try_finally(), release(), as Python's `async with`. An error of
// release() replaces the block's error.
#include "../locks.h"

#include "bodies.h"

namespace conf {

template <class Lock>
Body<> Locks::run_locked(Style style, Lock& lock, const char* in, const char* out, Frame& frame,
                         const Instruction& instruction) {
  AWAIT(lock.acquire());
  const auto block = [&]() -> Body<> {
    log(frame.me, in);
    RETURN CALL(machine_.run(style, frame, instruction.blocks.at(0)));
  };
  CALL(try_finally(block, [&] { lock.release(); }));
  log(frame.me, out);
  RETURN;
}

Body<> Locks::lock(Style style, Frame& frame, const Instruction& instruction) {
  return run_locked(style, lock_, "locked", "unlocked", frame, instruction);
}
Body<> Locks::semaphore(Style style, Frame& frame, const Instruction& instruction) {
  return run_locked(style, semaphore_, "sem in", "sem out", frame, instruction);
}
Body<> Locks::condition(Style style, Frame& frame, const Instruction& instruction) {
  return run_locked(style, condition_, "cond in", "cond out", frame, instruction);
}

// ---- the events
Body<> Locks::wait_event(Style, Frame& frame, const Instruction& instruction) {
  const bool value = AWAIT(events_.at(instruction.word(0)).wait());
  log(frame.me, "event", instruction.word(0), value);
  RETURN;
}

// ---- the condition
Body<> Locks::wait_condition(Style, Frame& frame, const Instruction&) {
  const bool value = AWAIT(condition_.wait());
  log(frame.me, "cond woken", value);
  RETURN;
}

Body<> Locks::wait_for_condition(Style, Frame& frame, const Instruction& instruction) {
  const int goal = notified_ + instruction.number(0);
  const bool value = AWAIT(condition_.wait_for([this, goal] { return notified_ >= goal; }));
  log(frame.me, "cond true", value);
  RETURN;
}

// ---- the barriers
Body<> Locks::wait_barrier(Style, Frame& frame, const Instruction& instruction) {
  TracedBarrier& traced = barriers_.at(instruction.word(0));
  std::string index;
  ++traced.inside;
  const auto wait = [&]() -> Body<> {
    try {
      index = std::to_string(AWAIT(traced.barrier.wait()));
      if (!traced.unique) index = "-";
    } catch (const asyncio::CancelledError&) {
      traced.unique = false;
      throw;
    }
    RETURN;
  };
  const auto leave = [&] {
    if (--traced.inside == 0) traced.unique = true;
  };
  CALL(try_finally(wait, leave));
  log(frame.me, "barrier", index);
  RETURN;
}

Body<> Locks::reset_barrier(Style, Frame& frame, const Instruction& instruction) {
  AWAIT(barriers_.at(instruction.word(0)).barrier.reset());
  log(frame.me, "barrier reset");
  RETURN;
}

Body<> Locks::abort_barrier(Style, Frame& frame, const Instruction& instruction) {
  AWAIT(barriers_.at(instruction.word(0)).barrier.abort());
  log(frame.me, "barrier aborted");
  RETURN;
}

}  // namespace conf
