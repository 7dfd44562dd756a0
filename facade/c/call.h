// SPDX-License-Identifier: Apache-2.0
//
// How a function of <aiofiber.h> runs: where it is called, and what its exceptions become.
//
// Each function is a call of c_call(), which lets no exception pass and leaves errno alone. Functions that
// need a loop or a task begin with one of the Here objects: its `error` says why the place is wrong.
#pragma once

#include <cerrno>

#include "aiofiber.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

// The error code of the exception that is being handled. A CancelledError stays open as a request of the
// current task.
int code_of_exception() noexcept;

template <class Body>
int c_call(Body body) noexcept {
  const int saved_errno = errno;
  int result;
  try {
    result = body();
  } catch (...) {
    result = code_of_exception();
  }
  errno = saved_errno;
  return result;
}

// The loop for which code runs here.
struct LoopHere {
  LoopHere() noexcept;
  LoopCore* loop = nullptr;
  int error = 0;
};

// The current task, with or without a stack.
struct TaskHere {
  TaskHere() noexcept;
  TaskCore* task = nullptr;
  int error = 0;
};

// The current task, where it may suspend.
struct SuspendingTask {
  SuspendingTask() noexcept;
  TaskCore* task = nullptr;
  int error = 0;
};

// For a wait that would suspend: 0, or the error with which it must fail at once, because the task was
// cancelled and has not ended. Code that repeats such a wait is slowed down, as in hooked calls (Parker).
int refuse_wait(TaskCore& task);

// The duration of a number of seconds. AIOFIBER_INVALID for NaN.
int to_duration(double seconds, Duration& duration) noexcept;

}  // namespace aiofiber::detail
