// SPDX-License-Identifier: Apache-2.0
//
// The instructions that never wait; bodies/locks.cc has the others.
#include "locks.h"

namespace conf {

Locks::Locks(Machine& machine) : machine_(machine) {
  for (const char* name : {"e0", "e1"}) events_.try_emplace(name);
  barriers_.try_emplace("2", 2);
  barriers_.try_emplace("3", 3);
  machine.add(*this,
              {{"eset", &Locks::set_event}, {"eclear", &Locks::clear_event}, {"notify", &Locks::notify}});
  machine.add_waiting(*this, {{"lock", &Locks::lock, &Locks::lock},
                              {"sem", &Locks::semaphore, &Locks::semaphore},
                              {"ewait", &Locks::wait_event, &Locks::wait_event},
                              {"cond", &Locks::condition, &Locks::condition},
                              {"cwait", &Locks::wait_condition, &Locks::wait_condition},
                              {"cwaitfor", &Locks::wait_for_condition, &Locks::wait_for_condition},
                              {"bwait", &Locks::wait_barrier, &Locks::wait_barrier},
                              {"breset", &Locks::reset_barrier, &Locks::reset_barrier},
                              {"babort", &Locks::abort_barrier, &Locks::abort_barrier}});
}

// ---- the events
void Locks::set_event(Frame&, const Instruction& instruction) { events_.at(instruction.word(0)).set(); }
void Locks::clear_event(Frame&, const Instruction& instruction) { events_.at(instruction.word(0)).clear(); }

// ---- the condition
void Locks::notify(Frame&, const Instruction& instruction) {
  ++notified_;
  if (instruction.word(0) == "all") {
    condition_.notify_all();
  } else {
    condition_.notify(static_cast<std::size_t>(instruction.number(0)));
  }
}

}  // namespace conf
