// SPDX-License-Identifier: Apache-2.0
//
// cancel_by_walk(): how a request to end goes down through tasks that wait for each other and gathers of
// gathers. Task::cancel() and the cancel() of what gather() gives are made of it. The steps belong to
// TaskCore and GatherCore, which keep the way back. Not for users.
#pragma once

#include "aiofiber/future_base.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

// Asks a pending task or gather to end, and what it waits for, at any depth without recursion. False: nothing
// took the request. `source`: of the first task. Runs nobody's code and allocates nothing. Precondition: its
// loop is open. Loop's thread.
bool cancel_by_walk(FutureBase& root, const RareText& message, CancelSource source);

}  // namespace aiofiber::detail
