// SPDX-License-Identifier: Apache-2.0
//
// cancel_by_walk(): passes a cancellation request down through tasks that wait for each other, and through
// nested gathers. Task::cancel() and the cancel() of a gather use it. TaskCore and GatherCore implement the
// steps and store the way back. Not for users.
#pragma once

#include "aiofiber/future_base.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

// Sends a cancellation request to a pending task or gather and to what it waits for, at any depth without
// recursion. False: the request was not accepted. `source`: of the first task. Runs no user code and
// allocates nothing. Precondition: its loop is open. Loop's thread.
bool cancel_by_walk(FutureBase& root, const RareText& message, CancelSource source);

}  // namespace aiofiber::detail
