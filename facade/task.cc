// SPDX-License-Identifier: Apache-2.0
//
// A task's life on its fiber, and how a cancellation reaches it.
#include "aiofiber/task.h"

#include <atomic>

#include "aiofiber/exception_context.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/held_locks.h"
#include "aiofiber/runtime/parker.h"
#include "aiofiber/runtime/unwind.h"
#include "text.h"

namespace aiofiber {

namespace detail {

using runtime::Fiber;
using runtime::Ref;

namespace {

std::uint64_t next_task_number() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

void throw_outside_task() {
  if (runtime::Scheduler::current() == nullptr) {
    throw RuntimeError("await() outside a task: no event loop runs in this thread; call it from a function run by "
                       "asyncio::run() or create_task()");
  }
  throw RuntimeError("await() outside a task: a callback of the loop cannot suspend; start a task from it with "
                     "create_task()");
}

std::shared_ptr<ContextData>* current_task_context() {
  TaskCore* task = current_task_core();
  return task != nullptr ? &task->context() : nullptr;
}

// ---- life -------------------------------------------------------------------------------------------------

void TaskCore::start(const TaskOptions& options, EntryInfo entry) {
  runtime::Scheduler& scheduler = loop().scheduler();
  entry_ = entry;
  context_ = options.context ? options.context->data() : inherit_context();
  if (!options.name.empty()) name_ = std::make_unique<std::string>(options.name);
  Fiber& fiber = scheduler.create_fiber(fiber_main, this, options.stack_size, entry.address);
  fiber_ = &fiber;
  if (name_ != nullptr) {
    fiber.set_name(*name_);
  } else {
    fiber.name_number = name_number_ = next_task_number();
  }
  future_.retain();  // the loop's reference, until leave_loop()
  loop().tasks.push_back(*this);
  scheduler.make_ready(fiber);
}

void after_task_creation(LoopCore& loop, FutureBase& task) {
  const EventLoop::TaskFactory& factory = loop.facade().get_task_factory();
  if (factory) factory(loop.facade(), AnyTask(Ref<FutureBase>(&task)));
}

void TaskCore::fiber_main(Fiber& fiber) noexcept { static_cast<TaskCore*>(fiber.owner)->body(); }

void TaskCore::body() noexcept {
  const Ref<FutureBase> keep(&future_);
  std::exception_ptr error;
  bool cancelled = false;
  bool destroyed = false;
  if (loop().debug()) step_started_ns_ = loop().scheduler().now();
  if (fiber_->start_failure != nullptr) {
    error = std::make_exception_ptr(runtime::StackError(fiber_->start_failure));
  } else if (must_cancel_) {
    cancelled = true;  // before its first step: the body never runs
    error = make_cancelled(cancel_message_.view());
  } else {
    try {
      invoke();
    } catch (const runtime::ForcedUnwind&) {
      destroyed = true;
    } catch (const CancelledError&) {
      cancelled = true;
      error = std::current_exception();
    } catch (...) {
      error = std::current_exception();
    }
    // A cancellation that was requested and never raised: it wins over a value, and over the error by which a
    // hooked call's caller gave up, but not over any other error.
    if (must_cancel_ && !destroyed && !cancelled && (error == nullptr || fiber_->interrupted)) {
      cancelled = true;
      error = nullptr;
    }
  }
  destroy_closure();
  if (loop().debug()) before_suspend();
  const std::string message(cancelled && error == nullptr ? request_message() : std::string_view());
  leave_loop();
  if (destroyed) return;
  try {
    if (cancelled) {
      future_.finish_cancelled(message, std::move(error));
    } else if (error != nullptr) {
      if (leaves_the_loop(error)) loop().scheduler().exit_with(error);
      future_.fail(std::move(error));
    } else {
      finish_value();
    }
  } catch (const RuntimeError&) {
    // The loop was closed by the task's own last words: nobody is left to be told.
  }
}

// From here on the fiber is no task any more; the loop's reference is gone when `keep` in body() goes.
void TaskCore::leave_loop() noexcept {
  fiber_ = nullptr;
  must_cancel_ = false;
  unlink();
  future_.release();
}

void TaskCore::destroy_pending() {
  const Ref<FutureBase> keep(&future_);
  if (!future_.quiet_when_destroyed) {
    ExceptionContext context;
    context.message = "Task was destroyed but it is pending!";
    context.task = AnyTask(keep);
    context.source_traceback = source_frames(future_.source_trace());
    loop().report(context);
  }
  runtime::Scheduler& scheduler = loop().scheduler();
  if (!fiber_->started()) {
    scheduler.destroy_unstarted(*fiber_);
    destroy_closure();
    leave_loop();
  } else if (!scheduler.unwind(*fiber_)) {
    log(LogLevel::ERROR, "task '" + name() + "' was abandoned: it waits in a frame that no exception can leave, so its "
                         "destructors do not run");
    leave_loop();
    future_.retain();  // its closure and stack stay, because they may refer to each other
  }
}

bool close_next_task(LoopCore& loop) {
  TaskCore* task = loop.tasks.front();
  if (task != nullptr) task->destroy_pending();
  return task != nullptr;
}

std::string TaskCore::name() const { return name_ != nullptr ? *name_ : "Task-" + std::to_string(name_number_); }

void TaskCore::set_name(std::string name) {
  if (fiber_ != nullptr) fiber_->set_name(name);
  name_ = std::make_unique<std::string>(std::move(name));
}

// ---- cancellation -----------------------------------------------------------------------------------------

int TaskCore::uncancel() noexcept {
  if (cancel_requests_ > 0 && --cancel_requests_ == 0 && fiber_ != nullptr && !fiber_->interrupted) must_cancel_ = false;
  return cancel_requests_;
}

// Whether an exception thrown where the task waits would find its way; if not, the request is kept back.
bool TaskCore::can_be_thrown_at() const noexcept {
  if (fiber_->exceptions.uncaught_exceptions > 0) return false;
  return !runtime::throw_would_terminate(runtime::saved_registers(reinterpret_cast<const void*>(fiber_->fcontext)),
                                         fiber_->bounds());
}

// Asks whatever the suspended task waits for to end, other than another task. True if it will.
bool TaskCore::interrupt_current_wait(std::string_view message) {
  if (fiber_->parker == nullptr) return false;
  if (waits_throwing_ && !can_be_thrown_at()) return false;
  if (!fiber_->parker->interrupt()) return false;
  must_cancel_ = true;
  interrupt_message_ = message;
  return true;
}

// Walks down a chain of tasks that wait for each other, so that its length costs no stack.
bool TaskCore::cancel(std::string_view message) {
  if (future_.done()) {
    future_.mark_retrieved();
    return false;
  }
  TaskCore* task = this;
  TaskCore* last = nullptr;
  for (;;) {
    ++task->cancel_requests_;
    task->cancel_walk_ = true;
    last = task;
    FutureBase* awaited = task->waits_for_;
    if (awaited == nullptr || !task->fiber_->suspended()) {
      if (task->fiber_->interrupted && task->must_cancel_) {
        task->cancel_message_ = message;  // asked already, not yet resumed: one CancelledError serves both
      } else if (!task->interrupt_current_wait(message)) {
        task->must_cancel_ = true;
        task->cancel_message_ = message;
      }
      break;
    }
    if (!task->can_be_thrown_at()) {
      task->must_cancel_ = true;
      task->cancel_message_ = message;
      break;
    }
    TaskCore* below = awaited->task();
    if (below != nullptr && !awaited->done() && !below->cancel_walk_) {
      task = below;
      continue;
    }
    const bool ring = below != nullptr && below->cancel_walk_;
    if (ring || !awaited->cancel(message)) {
      task->must_cancel_ = true;
      task->cancel_message_ = message;
    }
    if (ring && task->waiter_ != nullptr && task->waiter_->linked()) {
      // A ring of tasks would wait for ever: this one is taken out of it and raises at its next step.
      task->waiter_->unlink();
      task->loop().scheduler().wake_fiber(*task->fiber_);
    }
    break;
  }
  for (TaskCore* walked = this;; walked = walked->waits_for_->task()) {
    walked->cancel_walk_ = false;
    if (walked == last) break;
  }
  return true;
}

void TaskCore::throw_cancelled() {
  must_cancel_ = false;
  std::string message(request_message());
  fiber_->interrupted = false;
  if (message.empty()) throw CancelledError();
  throw CancelledError(std::move(message));
}

// Raises the remembered cancellation, unless the frames that wait here could not let it pass (a destructor, a
// noexcept function): then it stays remembered for a later await. Not inlined: the walk starts at the caller, whose
// tables have an entry for this call because it can throw.
AIOFIBER_NOINLINE void TaskCore::raise_where_legal() {
  if (std::uncaught_exceptions() > 0) return;
  runtime::Registers frame = runtime::current_registers();
  std::uintptr_t own_frame[1];
  runtime::unwind_onwards(frame, fiber_->bounds(), own_frame);
  if (runtime::throw_would_terminate(frame, fiber_->bounds())) return;
  throw_cancelled();
}

// ---- waiting ----------------------------------------------------------------------------------------------

// Debug mode: how long the step that ends here has kept the loop.
void TaskCore::before_suspend() noexcept {
  if (!loop().debug() || step_started_ns_ == 0) return;
  try {
    const std::int64_t duration = loop().scheduler().now() - step_started_ns_;
    if (duration >= loop().slow_callback_duration.nanoseconds()) loop().report_slow(future_.text(), duration);
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
    if (kind == AIOFIBER_WAIT_LOCK) fiber.wait_owner = reinterpret_cast<std::uint64_t>(future.wait_owner()) | AIOFIBER_OWNER_ID;
  }
  fiber.set_wait(kind, arg, loop().scheduler().last_poll());
}

void TaskCore::note_watcher(const void* watcher) noexcept {
  if (fiber_ != nullptr) fiber_->watched_by = reinterpret_cast<std::uint64_t>(watcher);
}

// Common to all waits: what happened while the task was away.
inline void TaskCore::after_resume() {
  if (AIOFIBER_UNLIKELY(loop().debug())) step_started_ns_ = loop().scheduler().now();
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) throw runtime::ForcedUnwind();
}

// Debug mode takes a handle on the task's own stack or in its closure for its own too. That is a guess: others may refer to it.
bool TaskCore::keeps_for_itself(WaitHandle handle) const noexcept {
  if (AIOFIBER_LIKELY(handle.taken || handle.address == nullptr || !loop().debug())) return handle.taken;
  return runtime::on_current_stack(handle.address) || closure_contains(handle.address);
}

void TaskCore::wait_for_future(FutureBase& future, WaitHandle handle) {
  Fiber& fiber = *fiber_;
  if (AIOFIBER_UNLIKELY(fiber.unwinding)) throw runtime::ForcedUnwind();
  raise_if_interrupted();
  if (AIOFIBER_UNLIKELY(&future == &future_)) {
    wait_one_pass();
    throw RuntimeError("Task cannot await on itself: " + future_.text());
  }
  if (AIOFIBER_UNLIKELY(&future.loop() != &loop())) {
    wait_one_pass();
    throw RuntimeError("Task " + future_.text() + " got Future " + future.text() + " attached to a different loop");
  }
  const Ref<FutureBase> keep(&future);
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
  } waiter(future, keeps_for_itself(handle) ? 2 : 1);
  waiter.target = &fiber;
  future.add_waiter(waiter);
  waits_for_ = &future;
  waiter_ = &waiter;
  const std::uint64_t limit = fiber.wait_owner;
  note_wait(fiber, future);
  fiber.state = AIOFIBER_WAITING;
  if (AIOFIBER_UNLIKELY(must_cancel_)) {
    if (future.cancel(cancel_message_.view())) must_cancel_ = false;
  }
  if (AIOFIBER_UNLIKELY(loop().debug())) {
    before_suspend();
    runtime::held_locks::check_suspension(fiber);
  }
  loop().scheduler().suspend();
  waits_for_ = nullptr;
  waiter_ = nullptr;
  fiber.wait_kind = AIOFIBER_WAIT_NONE;
  fiber.wait_owner = limit;
  after_resume();
  if (AIOFIBER_UNLIKELY(must_cancel_)) {
    if (future.cancelled() || is_cancelled_error(future.peek_exception())) {
      must_cancel_ = false;  // the future's own CancelledError is raised by the caller
      return;
    }
    raise_where_legal();
  }
}

void TaskCore::wait_one_pass() {
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) throw runtime::ForcedUnwind();
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
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) throw runtime::ForcedUnwind();
  raise_if_interrupted();
  if (AIOFIBER_UNLIKELY(must_cancel_)) {
    // Cancelled before it began to wait: raised in the next pass, as if the wait had been interrupted at once.
    interrupt_message_ = cancel_message_.view();
    fiber_->interrupted = true;
    if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
    loop().scheduler().yield();
    after_resume();
    raise_where_legal();
    return;
  }
  if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
  runtime::Parker parker;
  waits_throwing_ = true;
  parker.park(AIOFIBER_WAIT_SLEEP, static_cast<std::uint64_t>(deadline_ns), deadline_ns);
  waits_throwing_ = false;
  after_resume();
  if (AIOFIBER_UNLIKELY(must_cancel_)) raise_where_legal();
}

std::string task_details(const TaskCore& task) {
  std::string text = " name=" + quote(task.name()) + " coro=<" + entry_name(task.entry()) + "()" +
                     (task.fiber() != nullptr ? " running>" : " done>");
  if (task.waits_for() != nullptr) {
    const TaskCore* awaited = task.waits_for()->task();
    text += " wait_for=" + (awaited != nullptr ? "<Task " + quote(awaited->name()) + ">" : task.waits_for()->text());
  }
  return text;
}

}  // namespace detail

std::vector<AnyTask> all_tasks(EventLoop* loop) {
  detail::LoopCore& core = (loop != nullptr ? *loop : get_running_loop()).core();
  std::vector<AnyTask> tasks;
  for (detail::TaskCore* task = core.tasks.front(); task != nullptr; task = core.tasks.after(*task)) {
    tasks.emplace_back(runtime::Ref<detail::FutureBase>(&task->future()));
  }
  return tasks;
}

std::optional<AnyTask> current_task(EventLoop* loop) {
  detail::LoopCore& core = (loop != nullptr ? *loop : get_running_loop()).core();
  detail::TaskCore* task = detail::current_task_core();
  if (task == nullptr || &task->loop() != &core) return std::nullopt;
  return AnyTask(runtime::Ref<detail::FutureBase>(&task->future()));
}

}  // namespace aiofiber
