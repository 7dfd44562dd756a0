// SPDX-License-Identifier: Apache-2.0
//
// What aiofiber_run() and aiofiber_spawn() share: the options of a task, and how it ended.
//
// They translate between C's structs and codes and the facade's TaskOptions and exceptions.
// They know nothing of handles and waits.
#pragma once

#include "aiofiber.h"
#include "aiofiber/task_core.h"
#include "c/c_task.h"

namespace aiofiber::detail {

// 0, or AIOFIBER_INVALID: the struct's size says that it is not one. `given` may be null.
int read_options(const aiofiber_task_options* given, TaskOptions& options);

// How a task that is done has ended, and (if `result` is not null) what its function returned. Logs a C++
// exception. Throws only an exception that leaves the loop.
int outcome_of(CTask& task, void** result);

}  // namespace aiofiber::detail
