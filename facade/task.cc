// SPDX-License-Identifier: Apache-2.0
//
// A task's life on its fiber, and how a cancellation reaches it.
#include "aiofiber/task.h"

#include <atomic>
#include <bit>
#include <span>

#include "aiofiber/exception_context.h"
#include "aiofiber/exception_group.h"
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

std::exception_ptr start_error(const char* reason) noexcept {
  try {
    return std::make_exception_ptr(runtime::StackError(reason));
  } catch (const std::bad_alloc&) {
    return std::current_exception();
  }
}

// The type of what comes out of the scope that asked for a cancellation.
const std::type_info& error_type(CancelSource::Error error) noexcept {
  switch (error) {
    case CancelSource::Error::kTimeout:
      return typeid(TimeoutError);
    case CancelSource::Error::kGroup:
      return typeid(ExceptionGroup);
    case CancelSource::Error::kBaseGroup:
      break;
  }
  return typeid(BaseExceptionGroup);
}

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
}

namespace {
// Apart from launch_task(), because loops have no factory as a rule.
AIOFIBER_NOINLINE void ask_factory(LoopCore& loop, TaskCore& task) {
  const EventLoop::TaskFactory factory = loop.facade().get_task_factory();  // it may replace itself
  try {
    factory(loop.facade(), AnyTask(Ref<FutureBase>(&task.future())));
  } catch (...) {
    task.refuse();
    throw;
  }
}
}  // namespace

void launch_task(LoopCore& loop, TaskCore& task, bool eagerly) {
  if (AIOFIBER_UNLIKELY(loop.facade().get_task_factory() != nullptr)) ask_factory(loop, task);
  task.launch(eagerly);
}

void TaskCore::launch(bool eagerly) {
  if (launched_ || fiber_ == nullptr) return;  // done by its factory; or that closed the loop
  launched_ = true;
  runtime::Scheduler& scheduler = loop().scheduler();
  // Not in a loop that closes, whose tasks' destructors may make tasks.
  if (AIOFIBER_UNLIKELY(eagerly) && scheduler.running() && runtime::Scheduler::current() == &scheduler) {
    run_first_step();
  } else {
    scheduler.make_ready(*fiber_);
  }
}

void TaskCore::run_first_step() {
  const Ref<FutureBase> keep(&future_);
  first_step_is_eager_ = true;
  loop().scheduler().run_now(*fiber_);
  first_step_is_eager_ = false;
  const Fiber* const creator = runtime::current_fiber();
  if (creator != nullptr && AIOFIBER_UNLIKELY(creator->unwinding)) throw runtime::ForcedUnwind();
  if (future_.failed() && leaves_the_loop(future_.peek_exception()))
    std::rethrow_exception(future_.exception());
}

void TaskCore::refuse() noexcept {
  if (fiber_ == nullptr) return;
  try {
    if (launched_) {
      cancel({});
      return;
    }
    const Ref<FutureBase> keep(&future_);
    loop().scheduler().destroy_unstarted(*fiber_);
    destroy_closure();
    leave_loop();
    future_.finish_cancelled({});
  } catch (...) {
    // The loop was closed meanwhile: nobody is left to be told.
  }
}

void TaskCore::fiber_main(Fiber& fiber) noexcept { static_cast<TaskCore*>(fiber.owner)->body(); }

void TaskCore::body() noexcept {
  const Ref<FutureBase> keep(&future_);
  std::exception_ptr error;
  bool cancelled = false;
  bool destroyed = false;
  if (loop().debug()) {
    step_started_ns_ = loop().scheduler().now();
    watches_stack_ = fiber_->start_failure == nullptr;
    if (watches_stack_) runtime::StackPool::forget_last_quarter(fiber_->stack());
  }
  if (fiber_->start_failure != nullptr) {
    error = start_error(fiber_->start_failure);
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
  if (loop().debug()) {
    check_stack_depth(true);
    watches_stack_ = false;  // the fiber is gone below
  }
  const RareText message = cancelled && error == nullptr ? request_message() : RareText();
  leave_loop();
  try {
    if (destroyed) {
      // Its loop closes: it stays pending.
    } else if (cancelled) {
      future_.finish_cancelled(message, std::move(error));
    } else if (error != nullptr) {
      if (leaves_the_loop(error) && !first_step_is_eager_) loop().scheduler().exit_with(error);
      future_.fail(std::move(error));
    } else {
      finish_value();
    }
  } catch (const RuntimeError&) {
    // The loop was closed by the task's own last words: nobody is left to be told.
  }
  if (loop().debug()) before_suspend();  // last, so that a report shows how the task has ended
}

// From here on the fiber is no task any more; the loop's reference is gone when `keep` in body() goes.
void TaskCore::leave_loop() noexcept {
  fiber_ = nullptr;
  must_cancel_ = false;
  // An abandoned task is told of nothing any more.
  if (waiter_ != nullptr && waiter_->linked()) waiter_->unlink();
  waits_for_ = nullptr;
  waiter_ = nullptr;
  unlink();
  future_.release();
}

void TaskCore::report_pending() {
  if (future_.quiet_when_destroyed) return;
  ExceptionContext context;
  context.message = "Task was destroyed but it is pending!";
  context.task = AnyTask(Ref<FutureBase>(&future_));
  context.source_traceback = source_frames(future_.source_trace());
  loop().report(context);
}

void TaskCore::destroy_pending() noexcept {
  const Ref<FutureBase> keep(&future_);
  runtime::Scheduler& scheduler = loop().scheduler();
  if (!fiber_->started()) {
    scheduler.destroy_unstarted(*fiber_);
    destroy_closure();
    leave_loop();
  } else if (!scheduler.unwind(*fiber_, fiber_->parker != nullptr && fiber_->parker->throws_when_interrupted)) {
    leave_loop();
    future_.retain();  // its closure and stack stay, because they may refer to each other
    try {
      log(LogLevel::ERROR, "task '" + name() + "' was abandoned: it waits in a frame that no exception can leave, or catches each one "
                           "and goes on, so its destructors do not run");
    } catch (const std::bad_alloc&) {
      log(LogLevel::ERROR, "a task was abandoned");
    }
  }
}

bool close_next_task(LoopCore& loop, std::exception_ptr& failure) noexcept {
  TaskCore* const task = loop.tasks.front();
  if (task == nullptr) return false;
  try {
    task->report_pending();
  } catch (const std::bad_alloc&) {
    log(LogLevel::ERROR, "Task was destroyed but it is pending! (there is no memory for a better report)");
  } catch (...) {
    if (failure == nullptr) failure = std::current_exception();
  }
  loop.drop_scheduled();  // the program's handler may have woken it
  task->destroy_pending();
  return true;
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

// Whether the CancelledError that is asked for would end the program when it is thrown at these frames.
bool TaskCore::would_terminate(const runtime::Registers& registers, CancelSource source) const noexcept {
  struct Ahead {
    std::uint32_t scopes;  // to be passed, the asking one included; 0: none of them asked
    CancelSource::Error error;
  } ahead{0, source.error};
  const bool known = source.scope != 0 && source.scope <= open_scopes_ && open_scopes_ < kMostScopes;
  if (known) ahead.scopes = open_scopes_ - source.scope + 1;
  const runtime::Throw what{&typeid(CancelledError),
                            [](const std::type_info* thrown, void* argument) noexcept {
                              auto& left = *static_cast<Ahead*>(argument);
                              return left.scopes != 0 && --left.scopes == 0 ? &error_type(left.error) : thrown;
                            },
                            &ahead};
  return runtime::throw_would_terminate(registers, fiber_->bounds(), what);
}

// Whether an exception thrown where the task waits would find its way; if not, the request is kept back.
bool TaskCore::can_be_thrown_at(CancelSource source) const noexcept {
  const runtime::Registers registers = runtime::saved_registers(reinterpret_cast<const void*>(fiber_->fcontext));
  if (registers.rip == 0 && fiber_->exceptions.uncaught_exceptions > 0) return false;  // nothing is known of the frames
  return !would_terminate(registers, source);
}

void TaskCore::remember_request(const RareText& message, CancelSource source) noexcept {
  // Two askers of different kinds: what comes out of the scope is anybody's CancelledError.
  if (must_cancel_ && source_scope_ != source.scope) source = {};
  remember_source(source);
  must_cancel_ = true;
  cancel_message_ = message;
}

// Asks whatever the suspended task waits for to end, other than another task. True if it will.
bool TaskCore::interrupt_current_wait(const RareText& message, CancelSource source) noexcept {
  if (fiber_->parker == nullptr) return false;
  if (fiber_->parker->throws_when_interrupted && !can_be_thrown_at(source)) return false;
  if (!fiber_->parker->interrupt()) return false;
  must_cancel_ = true;
  remember_source(source);
  interrupt_message_ = message;
  return true;
}

void TaskCore::throw_cancelled() {
  const RareText message = request_message();
  must_cancel_ = false;
  fiber_->interrupted = false;
  throw cancelled_error(message.view());
}

namespace {

// The frame that `frames` functions were called from, this one included. None of them is inlined, and the last can throw: so
// the tables of the frame have an entry for its call, and a walk for what it throws can start there.
AIOFIBER_NOINLINE runtime::Registers frame_outside(std::size_t frames, runtime::StackBounds bounds) noexcept {
  runtime::Registers frame = runtime::current_registers();
  std::uintptr_t own_frames[3];
  runtime::unwind_onwards(frame, bounds, std::span(own_frames).first(frames));
  return frame;
}

}  // namespace

// Raises the remembered cancellation, unless the frames that wait here could not let it pass (a destructor, a
// noexcept function): then it stays remembered for a later await.
AIOFIBER_NOINLINE void TaskCore::raise_where_legal() {
  const runtime::Registers frame = frame_outside(2, fiber_->bounds());
  if (frame.rip == 0 && std::uncaught_exceptions() > 0) return;
  if (would_terminate(frame, remembered_source())) return;
  throw_cancelled();
}

// Whether the remembered cancellation could be raised by the wait that asks.
AIOFIBER_NOINLINE bool TaskCore::can_be_raised_by_caller() const noexcept {
  const runtime::Registers frame = frame_outside(3, fiber_->bounds());
  if (frame.rip == 0 && std::uncaught_exceptions() > 0) return false;
  return !would_terminate(frame, remembered_source());
}

// The loop closes: the task ends by ForcedUnwind. Where that would end the program, its fiber is left for good.
AIOFIBER_NOINLINE void TaskCore::end_with_loop() {
  runtime::Scheduler& scheduler = loop().scheduler();
  scheduler.count_unwind_request();
  const runtime::Registers frame = frame_outside(2, fiber_->bounds());
  const bool unknown = frame.rip == 0 && std::uncaught_exceptions() > 0;
  if (unknown || runtime::throw_would_terminate(frame, fiber_->bounds(), {.type = &typeid(runtime::ForcedUnwind)})) {
    scheduler.abandon_current();
  }
  throw runtime::ForcedUnwind();
}

// ---- waiting ----------------------------------------------------------------------------------------------

// Debug mode: how long the step that ends here has kept the loop.
void TaskCore::before_suspend() noexcept {
  if (!loop().debug() || step_started_ns_ < loop().debug_since_ns()) return;
  check_stack_depth(false);
  try {
    const std::int64_t duration = loop().scheduler().now() - step_started_ns_;
    if (duration >= loop().slow_callback_duration.nanoseconds()) loop().report_slow(future_.text(), duration);
  } catch (...) {
    // A report must not change what the program does.
  }
}

// Debug mode: reports once that the task came near the end of its stack. Asked at its end, and not at each of its waits, as the
// question costs a system call; what was used stays visible.
void TaskCore::check_stack_depth(bool at_end) noexcept {
  constexpr std::uint64_t kWaitsBetween = 16;
  if (!watches_stack_) return;
  if (!at_end && fiber_->switches % kWaitsBetween != 0 && !std::has_single_bit(fiber_->switches)) return;
  if (!runtime::StackPool::last_quarter_used(fiber_->stack())) return;
  watches_stack_ = false;
  try {
    const std::size_t kib = fiber_->stack().bytes() / 1024;
    log(LogLevel::WARNING, future_.text() + " came within 25 % of the end of its stack of " + std::to_string(kib) +
                               " KiB: give it a larger one, create_task({.stack_size = " + std::to_string(2 * kib) + " * 1024}, ...)");
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
  if (AIOFIBER_UNLIKELY(fiber_->unwinding)) end_with_loop();
}

// Debug mode takes a handle on the task's own stack or in its closure for its own too. That is a guess: others may refer to it.
bool TaskCore::keeps_for_itself(WaitHandle handle) const noexcept {
  if (AIOFIBER_LIKELY(handle.taken || handle.address == nullptr || !loop().debug())) return handle.taken;
  return runtime::on_current_stack(handle.address) || closure_contains(handle.address);
}

void TaskCore::wait_for_future(FutureBase& future, WaitHandle handle) {
  Fiber& fiber = *fiber_;
  if (AIOFIBER_UNLIKELY(fiber.unwinding)) end_with_loop();
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
  if (AIOFIBER_UNLIKELY(must_cancel_) && can_be_raised_by_caller()) {
    must_cancel_ = false;  // a ring of tasks comes back here, and asks again
    if (!future.cancel(cancel_message_)) must_cancel_ = true;
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
  if (AIOFIBER_UNLIKELY(must_cancel_) && can_be_raised_by_caller()) {
    // Cancelled before it began to wait: raised in the next pass, as if the wait had been interrupted at once.
    interrupt_message_ = cancel_message_;
    fiber_->interrupted = true;
    if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
    loop().scheduler().yield();
    after_resume();
    raise_where_legal();
    return;
  }
  if (AIOFIBER_UNLIKELY(loop().debug())) before_suspend();
  runtime::Parker parker;
  parker.throws_when_interrupted = true;
  parker.park(AIOFIBER_WAIT_SLEEP, static_cast<std::uint64_t>(deadline_ns), deadline_ns);
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

void eager_task_factory(EventLoop&, AnyTask task) { task.state().task()->launch(true); }

EventLoop::TaskFactory create_eager_task_factory(EventLoop::TaskFactory first) {
  return [first = std::move(first)](EventLoop& loop, const AnyTask& task) {
    if (first) first(loop, task);
    eager_task_factory(loop, task);
  };
}

std::optional<AnyTask> current_task(EventLoop* loop) {
  detail::LoopCore& core = (loop != nullptr ? *loop : get_running_loop()).core();
  detail::TaskCore* task = detail::current_task_core();
  if (task == nullptr || &task->loop() != &core) return std::nullopt;
  return AnyTask(runtime::Ref<detail::FutureBase>(&task->future()));
}

}  // namespace aiofiber
