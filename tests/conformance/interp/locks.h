// SPDX-License-Identifier: Apache-2.0
//
// Instructions for the synchronization of tasks: a lock, a semaphore, two events, a condition, two barriers.
// Each program has one set of them.
#pragma once

#include <map>
#include <string>

#include "machine.h"

namespace conf {

class Locks {
 public:
  explicit Locks(Machine& machine);

 private:
  // A barrier that knows whether its indices are to be traced. Behind a cancelled party CPython gives an
  // index twice, until the barrier is empty again; aiofiber does not, which is decided (deviations.tsv,
  // BAR3).
  struct TracedBarrier {
    explicit TracedBarrier(std::ptrdiff_t parties) : barrier(parties) {}
    asyncio::Barrier barrier;
    int inside = 0;
    bool unique = true;
  };

  // acquire(), a block between two lines of the trace, release().
  template <class Lock>
  void run_locked(Fibers, Lock& lock, const char* in, const char* out, Frame& frame,
                  const Instruction& instruction);
  template <class Lock>
  asyncio::Coro<> run_locked(Coroutines, Lock& lock, const char* in, const char* out, Frame& frame,
                             const Instruction& instruction);

  CONF_WAITING(lock);
  CONF_WAITING(semaphore);
  void set_event(Frame& frame, const Instruction& instruction);
  void clear_event(Frame& frame, const Instruction& instruction);
  CONF_WAITING(wait_event);
  CONF_WAITING(condition);
  CONF_WAITING(wait_condition);
  CONF_WAITING(wait_for_condition);
  void notify(Frame& frame, const Instruction& instruction);
  CONF_WAITING(wait_barrier);
  CONF_WAITING(reset_barrier);
  CONF_WAITING(abort_barrier);

  Machine& machine_;
  asyncio::Lock lock_;
  asyncio::Semaphore semaphore_{2};
  std::map<std::string, asyncio::Event> events_;
  asyncio::Condition condition_;
  int notified_ = 0;  // how many `notify` instructions ran
  std::map<std::string, TracedBarrier> barriers_;
};

}  // namespace conf
