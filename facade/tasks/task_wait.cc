// SPDX-License-Identifier: Apache-2.0
//
// How a task waits: for a future, for a time, for one pass.
//
// Each wait first tells the registry what it waits for. Then it suspends. Then it checks what happened
// meanwhile: the loop closes, or a cancellation must be raised. Every suspension of the facade goes through
// here.
#include <bit>
#include <utility>

#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/inspect/held_locks.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

using runtime::Fiber;
using runtime::Ref;

// Debug mode: measures the ending step. Only time on the CPU counts: of a call that blocks the thread the
// watchdog tells while it blocks, and a busy machine makes no step slow.
void TaskCore::before_suspend() noexcept {
  const std::int64_t started = std::exchange(step_started_ns_, -1);
  if (!loop().debug() || started < loop().debug_since_ns()) return;
  check_stack_depth(false);
  try {
    const std::int64_t duration = loop().scheduler().cpu_time() - started;
    if (duration >= loop().slow_callback_duration.nanoseconds()) loop().report_slow(future_.text(), duration);
  } catch (...) {
    // A report must not change what the program does.
  }
}

// Debug mode: a step has begun. A wait of the hooks ends and begins steps, too.
void TaskCore::step_begins() noexcept {
  static constexpr runtime::Scheduler::StepObserver kAtWaitsOfHooks = {
      [](Fiber& fiber) noexcept {
        if (TaskCore* const task = task_of(&fiber)) task->before_suspend();
      },
      [](Fiber& fiber) noexcept {
        if (TaskCore* const task = task_of(&fiber)) task->step_begins();
      }};
  runtime::Scheduler& scheduler = loop().scheduler();
  scheduler.step_observer = &kAtWaitsOfHooks;
  step_started_ns_ = scheduler.cpu_time();
}

// Debug mode: reports once that the task came near the end of its stack. This is checked at the task's end,
// not at each wait, because the check costs a system call. The used part of the stack stays visible.
void TaskCore::check_stack_depth(bool at_end) noexcept {
  constexpr std::uint64_t kWaitsBetween = 16;
  if (!watches_stack_) return;
  if (!at_end && fiber_->switches % kWaitsBetween != 0 && !std::has_single_bit(fiber_->switches)) return;
  if (!runtime::StackPool::last_quarter_used(fiber_->stack())) return;
  watches_stack_ = false;
  try {
    const std::size_t kib = fiber_->stack().bytes() / 1024;
    log(LogLevel::WARNING,
        future_.text() + " came within 25 % of the end of its stack of " + std::to_string(kib) +
            " KiB: give it a larger one, create_task({.stack_size = " + std::to_string(2 * kib) +
            " * 1024}, ...)");
  } catch (...) {
    // A report must not change what the program does.
  }
}

// Tells the registry what the task is about to wait for.
void TaskCore::note_wait(Fiber& fiber, FutureBase& future) noexcept {
  std::uint32_t kind = future.wait_kind;
  std::uint64_t arg = reinterpret_cast<std::uint64_t>(&future);
  if (const TaskCore* awaited = future.task()) {
    kind = AIOFIBER_WAIT_TASK;
    arg = awaited->fiber_ != nullptr ? awaited->fiber_->id : 0;
  } else if (kind != AIOFIBER_WAIT_FUTURE) {
    arg = reinterpret_cast<std::uint64_t>(future.wait_object());
    if (kind == AIOFIBER_WAIT_LOCK)
      fiber.wait_owner = reinterpret_cast<std::uint64_t>(future.wait_owner()) | AIOFIBER_OWNER_ID;
  }
  fiber.set_wait(kind, arg, loop().scheduler().last_poll());
}

void TaskCore::note_watcher(const void* watcher) noexcept {
  if (fiber_ != nullptr) fiber_->watched_by = reinterpret_cast<std::uint64_t>(watcher);
}

// The common end of all waits: checks what happened while the task was suspended.
inline void TaskCore::after_resume() {
  if (AIOFIBER_UNLIKELY(loop().debug())) step_begins();
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) end_with_loop();
}

// In debug mode, a handle on the task's own stack or in its closure counts as the task's own too. That is a
// guess: other code may refer to it.
bool TaskCore::keeps_for_itself(WaitHandle handle) const noexcept {
  if (AIOFIBER_LIKELY(handle.taken || handle.address == nullptr || !loop().debug())) return handle.taken;
  return runtime::on_current_stack(handle.address) || closure_contains(handle.address);
}

// The two halves of a wait. They are part of their callers: can_be_raised_by_caller() counts frames.
AIOFIBER_ALWAYS_INLINE void TaskCore::begin_wait(FutureBase& future, Waiter& waiter) {
  Fiber& fiber = *fiber_;
  waiter.target = &fiber;
  future.add_waiter(waiter);
  waits_for_ = &future;
  waiter_ = &waiter;
  note_wait(fiber, future);
  fiber.state = AIOFIBER_WAITING;
  if (AIOFIBER_UNLIKELY(must_cancel_) && can_be_raised_by_caller(remembered_source())) {
    must_cancel_ = false;  // a ring of tasks comes back here, and asks again
    if (!future.cancel(cancel_message_)) must_cancel_ = true;
  }
  if (AIOFIBER_UNLIKELY(loop().debug())) {
    before_suspend();
    runtime::held_locks::check_suspension(fiber);
  }
}

// True if a cancellation of the task must be raised.
AIOFIBER_ALWAYS_INLINE bool TaskCore::end_wait(FutureBase& future) {
  waits_for_ = nullptr;
  waiter_ = nullptr;
  fiber_->wait_kind = AIOFIBER_WAIT_NONE;
  after_resume();
  if (AIOFIBER_LIKELY(!must_cancel_)) return false;
  if (!future.cancelled() && !is_cancelled_error(future.peek_exception())) {
    future.mark_retrieved();  // CPython's task reads its future's result before it raises the CancelledError
    return true;
  }
  must_cancel_ = false;  // the future's own CancelledError is raised by the caller
  return false;
}

// The error of a wait that can never end; null: there is none.
std::exception_ptr TaskCore::refusal_to_wait_for(const FutureBase& future) const {
  if (&future == &future_) {
    return std::make_exception_ptr(RuntimeError("Task cannot await on itself: " + future_.text()));
  }
  if (&future.loop() != &loop()) {
    return std::make_exception_ptr(RuntimeError("Task " + future_.text() + " got Future " + future.text() +
                                                " attached to a different loop"));
  }
  return nullptr;
}

void TaskCore::wait_for_future(FutureBase& future, WaitHandle handle) {
  Fiber& fiber = *fiber_;
  if (AIOFIBER_UNLIKELY(fiber.unwinding)) end_with_loop();
  raise_if_interrupted();
  if (AIOFIBER_UNLIKELY(&future == &future_ || &future.loop() != &loop())) {
    const std::exception_ptr error = refusal_to_wait_for(future);
    wait_one_pass();
    std::rethrow_exception(error);
  }
  struct Registered : Waiter {
    Registered(FutureBase& awaited, std::uint32_t own) : future(awaited), references(own) {
      future.add_waiting_references(references);
    }
    ~Registered() {
      if (linked()) unlink();
      future.remove_waiting_references(references);
    }
    FutureBase& future;
    const std::uint32_t references;  // `keep` and the handle
  };
  // A cancellation is raised when these variables are gone, so that nothing has to be cleaned up here.
  bool is_cancelled = false;
  {
    std::exception_ptr error;
    {
      const Ref<FutureBase> keep(&future);
      Registered waiter(future, keeps_for_itself(handle) ? 2 : 1);
      begin_wait(future, waiter);
      loop().scheduler().suspend();
      is_cancelled = end_wait(future);
      if (AIOFIBER_UNLIKELY(future.cancelled()) && handle.reads_result &&
          nothing_runs_outside(__builtin_return_address(0)))
        error = future.cancelled_error();
    }
    if (AIOFIBER_UNLIKELY(error != nullptr)) end_without_unwinding(std::move(error));
  }
  if (AIOFIBER_UNLIKELY(is_cancelled)) raise_where_legal();
}

void TaskCore::wait_one_pass() {
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) end_with_loop();
  raise_if_interrupted();
  if (AIOFIBER_UNLIKELY(loop().debug())) {
    before_suspend();
    runtime::held_locks::check_suspension(*fiber_);
  }
  fiber_->scheduler->yield();
  after_resume();
  if (AIOFIBER_UNLIKELY(must_cancel_)) raise_where_legal();
}

void TaskCore::wait_until(std::int64_t deadline_ns) {
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) end_with_loop();
  raise_if_interrupted();
  if (AIOFIBER_UNLIKELY(must_cancel_) && can_be_raised_by_caller(remembered_source())) {
    // Cancelled before it began to wait: raised in the next pass, as if the wait had been interrupted at
    // once.
    interrupt_message_ = cancel_message_;
    fiber_->interrupted = true;
    if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
    loop().scheduler().yield();
    after_resume();
    raise_where_legal();
    return;
  }
  if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
  {
    runtime::Parker parker;
    parker.throws_when_interrupted = true;
    parker.park(AIOFIBER_WAIT_SLEEP, static_cast<std::uint64_t>(deadline_ns), deadline_ns);
  }
  after_resume();
  if (AIOFIBER_UNLIKELY(must_cancel_)) raise_where_legal();
}

// ---- without a stack --------------------------------------------------------------------------------------

void TaskCore::begin_wait_for_future(FutureBase& future, Waiter& waiter) {
  future.add_waiting_references(1);  // of the awaiter
  try {
    begin_wait(future, waiter);
  } catch (...) {
    future.remove_waiting_references(1);
    throw;
  }
}

void TaskCore::end_wait_for_future(FutureBase& future, Waiter& waiter) {
  if (waiter.linked()) waiter.unlink();
  future.remove_waiting_references(1);
  if (AIOFIBER_UNLIKELY(end_wait(future))) raise_in_coroutine();
}

void TaskCore::begin_pass() {
  if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
  fiber_->state = AIOFIBER_READY;
  loop().scheduler().make_ready(*fiber_);
}

void TaskCore::end_pass() {
  after_resume();
  if (AIOFIBER_UNLIKELY(must_cancel_)) raise_in_coroutine();
}

void TaskCore::begin_sleep(std::int64_t deadline_ns, void* memory) {
  auto& parker = *new (memory) runtime::Parker(*fiber_);
  parker.throws_when_interrupted = true;
  if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
  if (AIOFIBER_UNLIKELY(must_cancel_)) {
    // Cancelled before it began to wait: raised in the next pass, as if the wait had been interrupted at
    // once.
    interrupt_message_ = cancel_message_;
    fiber_->interrupted = true;
    fiber_->state = AIOFIBER_READY;
    loop().scheduler().make_ready(*fiber_);
    return;
  }
  try {
    parker.begin_sleep(deadline_ns);
  } catch (...) {
    parker.~Parker();
    throw;
  }
}

void TaskCore::end_sleep(void* memory) {
  auto& parker = *static_cast<runtime::Parker*>(memory);
  parker.end_sleep();
  parker.~Parker();
  after_resume();
  if (AIOFIBER_UNLIKELY(must_cancel_)) raise_in_coroutine();
}

}  // namespace aiofiber::detail
