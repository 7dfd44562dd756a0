// SPDX-License-Identifier: Apache-2.0
//
// cancel_by_walk(): passes a cancellation request down through tasks that wait for each other, and through
// nested gathers. Task::cancel() and the cancel() of a gather use it. TaskCore and GatherCore implement the
// steps and store the way back. CancelMany does the same for many tasks. Not for users.
#pragma once

#include <unordered_map>
#include <vector>

#include "aiofiber/future_base.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

// Sends a cancellation request to a pending task or gather and to what it waits for, at any depth without
// recursion. False: the request was not accepted. `source`: of the first task. Runs no user code. Allocates
// only if it meets many that were asked before. Precondition: its loop is open. Loop's thread.
bool cancel_by_walk(FutureBase& root, const RareText& message, CancelSource source);

// Cancels many tasks as if cancel() of each was called in turn. Where they wait for each other, each such
// call would walk down to the last of them, and n calls would take n * n / 2 steps. Here each task passes a
// request on once or twice. A task that is reached again counts the request only; the destructor passes the
// counts on to what it waits for. So cancelling() is what n calls would make it, except in a ring of tasks,
// and if memory is short.
//
// Lifetime: a local variable; no user code may run and no future may end before its destructor. Loop's
// thread.
class CancelMany {
 public:
  CancelMany() = default;
  CancelMany(const CancelMany&) = delete;
  CancelMany& operator=(const CancelMany&) = delete;
  ~CancelMany();

  // As future.cancel(). Precondition: its loop is open.
  void request(FutureBase& future) noexcept;

  // ---- for the walk
  // A request has reached `future`, `from_above` or as the first. True if an earlier one has been answered:
  // then this one is only counted, and walk.accepted is the earlier answer.
  bool was_here(FutureBase& future, bool from_above, CancelWalk& walk) noexcept;
  // The task or gather has answered. `asked_below`: it has passed the request on.
  void answers(FutureBase& future, const CancelWalk& walk, bool asked_below) noexcept;
  // Counts requests that did not walk through `future`.
  void count(FutureBase& future, std::uint32_t requests) noexcept;

 private:
  struct Visit {
    bool answered = false;
    bool accepted = false;
    std::uint32_t repeated = 0;  // requests that were not passed on
  };
  void remember(FutureBase& future) noexcept;

  // Of those that were reached from above: other tasks allocate nothing, and may be asked a second time.
  std::unordered_map<FutureBase*, Visit> visits_;
  std::vector<FutureBase*> left_;  // those that passed the request on; has room for all visits
};

}  // namespace aiofiber::detail
