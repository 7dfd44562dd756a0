// SPDX-License-Identifier: Apache-2.0
//
// A block under a lock is acquire(), try_finally(), release(), as Python's `async with`. An error of
// release() replaces the block's error.
#include "locks.h"

namespace conf {

Locks::Locks(Machine& machine) : machine_(machine) {
  for (const char* name : {"e0", "e1"}) events_.try_emplace(name);
  barriers_.try_emplace("2", 2);
  barriers_.try_emplace("3", 3);
  machine.add(*this, {{"lock", &Locks::lock},
                      {"sem", &Locks::semaphore},
                      {"eset", &Locks::set_event},
                      {"eclear", &Locks::clear_event},
                      {"ewait", &Locks::wait_event},
                      {"cond", &Locks::condition},
                      {"cwait", &Locks::wait_condition},
                      {"cwaitfor", &Locks::wait_for_condition},
                      {"notify", &Locks::notify},
                      {"bwait", &Locks::wait_barrier},
                      {"breset", &Locks::reset_barrier},
                      {"babort", &Locks::abort_barrier}});
}

template <class Lock>
void Locks::run_locked(Lock& lock, const char* in, const char* out, Frame& frame,
                       const Instruction& instruction) {
  asyncio::await(lock.acquire());
  try_finally(
      [&] {
        log(frame.me, in);
        machine_.run(frame, instruction.blocks.at(0));
      },
      [&] { lock.release(); });
  log(frame.me, out);
}

void Locks::lock(Frame& frame, const Instruction& instruction) {
  run_locked(lock_, "locked", "unlocked", frame, instruction);
}
void Locks::semaphore(Frame& frame, const Instruction& instruction) {
  run_locked(semaphore_, "sem in", "sem out", frame, instruction);
}
void Locks::condition(Frame& frame, const Instruction& instruction) {
  run_locked(condition_, "cond in", "cond out", frame, instruction);
}

// ---- the events
void Locks::set_event(Frame&, const Instruction& instruction) { events_.at(instruction.word(0)).set(); }
void Locks::clear_event(Frame&, const Instruction& instruction) { events_.at(instruction.word(0)).clear(); }
void Locks::wait_event(Frame& frame, const Instruction& instruction) {
  const bool value = asyncio::await(events_.at(instruction.word(0)).wait());
  log(frame.me, "event", instruction.word(0), value);
}

// ---- the condition
void Locks::wait_condition(Frame& frame, const Instruction&) {
  const bool value = asyncio::await(condition_.wait());
  log(frame.me, "cond woken", value);
}

void Locks::wait_for_condition(Frame& frame, const Instruction& instruction) {
  const int goal = notified_ + instruction.number(0);
  const bool value = asyncio::await(condition_.wait_for([this, goal] { return notified_ >= goal; }));
  log(frame.me, "cond true", value);
}

void Locks::notify(Frame&, const Instruction& instruction) {
  ++notified_;
  if (instruction.word(0) == "all") {
    condition_.notify_all();
  } else {
    condition_.notify(static_cast<std::size_t>(instruction.number(0)));
  }
}

// ---- the barriers
void Locks::wait_barrier(Frame& frame, const Instruction& instruction) {
  TracedBarrier& traced = barriers_.at(instruction.word(0));
  std::string index;
  ++traced.inside;
  try_finally(
      [&] {
        try {
          index = std::to_string(asyncio::await(traced.barrier.wait()));
          if (!traced.unique) index = "-";
        } catch (const asyncio::CancelledError&) {
          traced.unique = false;
          throw;
        }
      },
      [&] {
        if (--traced.inside == 0) traced.unique = true;
      });
  log(frame.me, "barrier", index);
}

void Locks::reset_barrier(Frame& frame, const Instruction& instruction) {
  asyncio::await(barriers_.at(instruction.word(0)).barrier.reset());
  log(frame.me, "barrier reset");
}

void Locks::abort_barrier(Frame& frame, const Instruction& instruction) {
  asyncio::await(barriers_.at(instruction.word(0)).barrier.abort());
  log(frame.me, "barrier aborted");
}

}  // namespace conf
