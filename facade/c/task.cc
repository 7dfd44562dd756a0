// SPDX-License-Identifier: Apache-2.0
//
// Tasks of <aiofiber.h>: making them, waiting for them, their cancellation and names.
//
// A wait for a task always lasts to the task's end, because the task may use the caller's variables: a
// cancellation of the caller is passed on, and reported when the task has ended.
#include <absl/cleanup/cleanup.h>
#include <string.h>

#include <climits>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/event_loop.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/gather.h"
#include "aiofiber/sleep.h"
#include "aiofiber/task.h"
#include "c/call.h"
#include "c/handles.h"
#include "c/start.h"

namespace aiofiber::detail {

using runtime::Ref;

void CTask::invoke() {
  try {
    returned_ = function_(argument_);
  } catch (...) {  // of C++ code that it called
    destroy_key_values(values_);
    throw;
  }
  destroy_key_values(values_);
  slot().emplace(returned_);
}

int read_options(const aiofiber_task_options* given, TaskOptions& options) {
  if (given == nullptr) return 0;
  if (given->size < sizeof *given) return AIOFIBER_INVALID;
  // Members of a later version that this one does not know: they must have their defaults.
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof *given; i < given->size; ++i) {
    if (bytes[i] != 0) return AIOFIBER_INVALID;
  }
  if (given->name != nullptr) options.name = given->name;
  options.stack_size = given->stack_size;
  return 0;
}

int outcome_of(CTask& task, void** result) {
  if (result != nullptr) *result = task.returned();
  if (task.cancelled()) return AIOFIBER_TASK_CANCELLED;
  if (!task.failed()) return 0;
  try {
    std::rethrow_exception(task.exception());
  } catch (const runtime::StackError&) {
    return AIOFIBER_EXHAUSTED;
  } catch (...) {
    // C code cannot look at it.
    const std::exception_ptr exception = std::current_exception();
    try {
      ExceptionContext context;
      context.message = "a C++ exception left the function of a task of <aiofiber.h>";
      context.exception = exception;
      context.task = AnyTask(Ref<FutureBase>(&task));
      task.TaskCore::loop().report(context);
    } catch (const std::bad_alloc&) {
      // No memory for the report.
    }
    return AIOFIBER_FAILED;
  }
}

namespace {

// Waits until the future of one or several tasks is done. 0; AIOFIBER_CANCELLED: the current task was
// cancelled before or meanwhile; AIOFIBER_LOOP_CLOSED: it is not done.
int wait_to_the_end(TaskCore& self, FutureBase& future) {
  const int requests_before = self.cancelling();
  bool cancelled = false;
  while (!future.done()) {
    try {
      self.wait_for_future(future);
    } catch (const CancelledError&) {
      cancelled = true;
    } catch (const runtime::ForcedUnwind&) {
      return AIOFIBER_LOOP_CLOSED;
    }
    if (cancelled && !future.done()) future.cancel({});
  }
  const bool ended_cancelled = future.cancelled() || is_cancelled_error(future.peek_exception());
  // A request of the meantime went to the tasks, and ended them.
  if (ended_cancelled && self.cancelling() > requests_before) cancelled = true;
  if (!cancelled) return 0;
  self.keep_cancellation();
  return AIOFIBER_CANCELLED;
}

int wait_for_task(aiofiber_task handle, std::optional<Duration> limit, void** result) {
  if (result != nullptr) *result = nullptr;
  const SuspendingTask here;
  if (here.error != 0) return here.error;
  TaskCore& self = *here.task;
  CHandles& handles = CHandles::of(self.loop());
  Ref<CTask> task;
  if (const int error = handles.find(handle, task); error != 0) return error;
  if (task.get() == &self) return AIOFIBER_DEADLOCK;

  bool expired = false;
  std::optional<TimerHandle> timer;
  runtime::Fiber& fiber = *self.fiber();
  const absl::Cleanup end_limit = [&, outer_limit = fiber.wait_limit] {
    if (timer) timer->cancel();
    fiber.wait_limit = outer_limit;
  };
  if (limit && !task->done()) {
    const auto expire = [&expired, task] { expired = task->cancel(RareText()); };
    if (*limit <= Duration()) {
      expire();
    } else if (*limit < Duration::max()) {
      timer = self.loop().facade().call_later(*limit, expire);
      fiber.shorten_limit(saturating_add(self.loop().facade().time(), *limit).time_since_epoch().count());
    }
  }
  const int error = wait_to_the_end(self, *task);
  if (error == AIOFIBER_LOOP_CLOSED) return error;
  handles.end(handle);
  const int outcome = outcome_of(*task, result);
  if (error != 0) return error;
  return expired && task->cancelled() ? AIOFIBER_TIMED_OUT : outcome;
}

int gather_tasks(const aiofiber_task* handles_given, std::size_t count, void** results, int* errors) {
  const SuspendingTask here;
  if (here.error != 0) return here.error;
  if (count == 0) return 0;
  if (handles_given == nullptr) return AIOFIBER_INVALID;
  TaskCore& self = *here.task;
  CHandles& handles = CHandles::of(self.loop());
  std::vector<Ref<CTask>> tasks(count);
  std::vector<Future<void*>> futures;
  futures.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (const int error = handles.find(handles_given[i], tasks[i]); error != 0) return error;
    if (tasks[i].get() == &self) return AIOFIBER_DEADLOCK;
    futures.emplace_back(Ref<FutureBase>(tasks[i].get()));
  }
  const auto all = aiofiber::gather(return_exceptions, std::move(futures));
  const int error = wait_to_the_end(self, all.state());
  if (error == AIOFIBER_LOOP_CLOSED) return error;
  all.state().mark_retrieved();
  int first_error = error;
  for (std::size_t i = 0; i < count; ++i) {
    const int outcome = outcome_of(*tasks[i], results != nullptr ? &results[i] : nullptr);
    if (errors != nullptr) errors[i] = outcome;
    if (first_error == 0) first_error = outcome;
    handles.end(handles_given[i]);
  }
  return first_error;
}

// The task of a handle, for functions that do not wait.
int find_task(aiofiber_task handle, Ref<CTask>& task) {
  const LoopHere here;
  if (here.loop == nullptr) return here.error;
  return CHandles::of(*here.loop).find(handle, task);
}

}  // namespace

}  // namespace aiofiber::detail

using namespace aiofiber::detail;

int aiofiber_spawn(void* (*function)(void*), void* argument, const aiofiber_task_options* options,
                   aiofiber_task* task) noexcept {
  return c_call([&]() -> int {
    if (task != nullptr) *task = {};
    const LoopHere here;
    if (here.error != 0) return here.error;
    if (function == nullptr) return AIOFIBER_INVALID;
    aiofiber::TaskOptions task_options;
    if (const int error = read_options(options, task_options); error != 0) return error;
    const Ref<CTask> state(new CTask(*here.loop, function, argument));
    aiofiber_task handle{};
    if (task != nullptr) handle = CHandles::of(*here.loop).add(state);
    try {
      state->start(task_options, state->entry_of_function());
    } catch (...) {
      if (task != nullptr) CHandles::of(*here.loop).end(handle);
      throw;
    }
    launch_task(*here.loop, *state, false);
    if (task != nullptr) *task = handle;
    return 0;
  });
}

int aiofiber_wait(aiofiber_task task, void** result) noexcept {
  return c_call([&]() -> int { return wait_for_task(task, std::nullopt, result); });
}

int aiofiber_wait_for(aiofiber_task task, double seconds, void** result) noexcept {
  return c_call([&]() -> int {
    if (result != nullptr) *result = nullptr;
    aiofiber::Duration limit;
    if (const int error = to_duration(seconds, limit); error != 0) return error;
    return wait_for_task(task, limit, result);
  });
}

int aiofiber_gather(const aiofiber_task* tasks, size_t count, void** results, int* errors) noexcept {
  return c_call([&]() -> int { return gather_tasks(tasks, count, results, errors); });
}

int aiofiber_detach(aiofiber_task task) noexcept {
  return c_call([&]() -> int {
    Ref<CTask> found;
    const int error = find_task(task, found);
    if (error == 0) CHandles::of(found->TaskCore::loop()).end(task);
    return error;
  });
}

int aiofiber_cancel(aiofiber_task task) noexcept {
  return c_call([&]() -> int {
    Ref<CTask> found;
    const int error = find_task(task, found);
    if (error == 0) found->cancel(RareText());
    return error;
  });
}

int aiofiber_cancelling() noexcept {
  const TaskHere here;
  return here.error != 0 ? here.error : here.task->cancelling();
}

int aiofiber_uncancel() noexcept {
  const TaskHere here;
  if (here.error != 0) return here.error;
  if (here.task->cancelling() <= 1) here.task->fiber()->interrupted = false;
  return here.task->uncancel();
}

int aiofiber_done(aiofiber_task task) noexcept {
  return c_call([&]() -> int {
    Ref<CTask> found;
    const int error = find_task(task, found);
    return error != 0 ? error : found->done();
  });
}

int aiofiber_cancelled(aiofiber_task task) noexcept {
  return c_call([&]() -> int {
    Ref<CTask> found;
    const int error = find_task(task, found);
    return error != 0 ? error : found->cancelled();
  });
}

int aiofiber_sleep(double seconds) noexcept {
  return c_call([&]() -> int {
    const SuspendingTask here;
    if (here.error != 0) return here.error;
    aiofiber::Duration delay;
    if (const int error = to_duration(seconds, delay); error != 0) return error;
    if (const int error = refuse_wait(*here.task); error != 0) return error;
    sleep_here(delay);
    return 0;
  });
}

int aiofiber_name(char* buffer, size_t size) noexcept {
  return c_call([&]() -> int {
    const TaskHere here;
    if (here.error != 0) return here.error;
    if (buffer == nullptr && size != 0) return AIOFIBER_INVALID;
    const std::string name = here.task->name();
    if (size != 0) {
      const std::size_t bytes = name.size() < size ? name.size() : size - 1;
      memcpy(buffer, name.data(), bytes);
      buffer[bytes] = '\0';
    }
    return name.size() < INT_MAX ? static_cast<int>(name.size()) : INT_MAX;
  });
}

int aiofiber_set_name(const char* name) noexcept {
  return c_call([&]() -> int {
    const TaskHere here;
    if (here.error != 0) return here.error;
    if (name == nullptr) return AIOFIBER_INVALID;
    here.task->set_name(name);
    return 0;
  });
}
