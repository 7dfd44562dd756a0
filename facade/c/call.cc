// SPDX-License-Identifier: Apache-2.0
//
// Exceptions as codes, the places of calls, and the texts of the codes.
#include "c/call.h"

#include <cmath>
#include <new>
#include <stdexcept>

#include "aiofiber/duration.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::detail {

int code_of_exception() noexcept {
  try {
    throw;
  } catch (const CancelledError&) {
    TaskCore* const task = current_task_core();
    if (task == nullptr) return AIOFIBER_TASK_CANCELLED;
    task->keep_cancellation();
    return AIOFIBER_CANCELLED;
  } catch (const runtime::ForcedUnwind&) {
    return AIOFIBER_LOOP_CLOSED;
  } catch (const KeyboardInterrupt&) {
    return AIOFIBER_INTERRUPTED;
  } catch (const TimeoutError&) {
    return AIOFIBER_TIMED_OUT;
  } catch (const runtime::StackError&) {
    return AIOFIBER_EXHAUSTED;
  } catch (const std::bad_alloc&) {
    return AIOFIBER_NO_MEMORY;
  } catch (const std::length_error&) {
    return AIOFIBER_INVALID;  // of a stack
  } catch (...) {
    return AIOFIBER_FAILED;
  }
}

LoopHere::LoopHere() noexcept {
  const TaskCore* const task = current_task_core();
  loop = task != nullptr ? &task->loop() : LoopCore::running();
  if (loop == nullptr) {
    error = AIOFIBER_NO_LOOP;
  } else if (loop->closing()) {
    error = AIOFIBER_LOOP_CLOSED;
  }
}

TaskHere::TaskHere() noexcept : task(current_task_core()) {
  if (task == nullptr) error = LoopCore::running() == nullptr ? AIOFIBER_NO_LOOP : AIOFIBER_OUTSIDE_TASK;
}

SuspendingTask::SuspendingTask() noexcept : task(current_task_core_with_stack()) {
  if (task == nullptr) {
    error = LoopCore::running() == nullptr ? AIOFIBER_NO_LOOP : AIOFIBER_OUTSIDE_TASK;
  } else if (task->fiber()->unwinding) {
    // Counted, so that code that goes on and on is abandoned.
    error = refuse_wait(*task);
  }
}

int refuse_wait(TaskCore& task) {
  const runtime::Fiber& fiber = *task.fiber();
  if (!fiber.interrupted && !fiber.unwinding) return 0;
  runtime::Parker parker;
  parker.park(AIOFIBER_WAIT_SLEEP, 0);
  return fiber.unwinding ? AIOFIBER_LOOP_CLOSED : AIOFIBER_CANCELLED;
}

int to_duration(double seconds, Duration& duration) noexcept {
  if (std::isnan(seconds)) return AIOFIBER_INVALID;
  duration = Duration(std::chrono::duration<double>(seconds));
  return 0;
}

}  // namespace aiofiber::detail

const char* aiofiber_strerror(int error) noexcept {
  if (error >= 0) return "success";
  switch (static_cast<aiofiber_error>(error)) {
    case AIOFIBER_CANCELLED:
      return "this task was cancelled";
    case AIOFIBER_TASK_CANCELLED:
      return "the task ended cancelled";
    case AIOFIBER_TIMED_OUT:
      return "the time limit has passed";
    case AIOFIBER_INVALID:
      return "an argument is not allowed: a null pointer, a handle that has ended, a number out of range";
    case AIOFIBER_NO_LOOP:
      return "no aiofiber_run() in this thread";
    case AIOFIBER_OUTSIDE_TASK:
      return "this code is not in a task that can suspend";
    case AIOFIBER_OTHER_LOOP:
      return "the handle was made in another thread or another aiofiber_run()";
    case AIOFIBER_DEADLOCK:
      return "a task cannot wait for itself";
    case AIOFIBER_BUSY:
      return "in use: a loop runs here, or tasks wait for the semaphore";
    case AIOFIBER_NO_MEMORY:
      return "out of memory";
    case AIOFIBER_EXHAUSTED:
      return "no stack or no key is left";
    case AIOFIBER_OVERFLOW:
      return "the semaphore has too many units";
    case AIOFIBER_LOOP_CLOSED:
      return "the loop is being closed";
    case AIOFIBER_INTERRUPTED:
      return "interrupted by Ctrl-C";
    case AIOFIBER_FAILED:
      return "a C++ exception left the function";
  }
  return "unknown error";
}
