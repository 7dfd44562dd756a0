// SPDX-License-Identifier: Apache-2.0
//
// A task's life on its fiber: creation, launch, run, end; and its end when its loop closes.
//
// Its waits are in task_wait.cc, its cancellation in task_cancel.cc.
#include "aiofiber/task.h"

#include <atomic>

#include "aiofiber/exception_context.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "core/text.h"

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

std::uint64_t next_task_number() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

void throw_outside_task() {
  if (runtime::Scheduler::current() == nullptr) {
    throw RuntimeError(
        "await() outside a task: no event loop runs in this thread; call it from a function run by "
        "asyncio::run() or create_task()");
  }
  if (current_task_core() != nullptr) {
    throw RuntimeError(
        "await() in a task without a stack: only a coroutine can suspend it, with co_await. To call a "
        "function "
        "that awaits, give it a stack for that time: co_await [&] { return function(); }");
  }
  throw RuntimeError(
      "await() outside a task: a callback of the loop cannot suspend; start a task from it with "
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
  Fiber& fiber = stackless() != nullptr
                     ? scheduler.create_stackless(stackless_step, this, options.stack_size, entry.address)
                     : scheduler.create_fiber(fiber_main, this, options.stack_size, entry.address);
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
// Separate from launch_task(), because loops usually have no factory.
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
  if (launched_ || fiber_ == nullptr) return;  // its factory launched it, or closed the loop
  launched_ = true;
  runtime::Scheduler& scheduler = loop().scheduler();
  // Not in a closing loop: destructors of its tasks may make tasks.
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
    // The loop was closed meanwhile: there is no one to report to.
  }
}

void TaskCore::fiber_main(Fiber& fiber) noexcept { static_cast<TaskCore*>(fiber.owner)->body(); }

void TaskCore::body() noexcept {
  future_.retain();  // by hand: a task that ends without unwinding does not come back here
  if (loop().debug()) {
    step_begins();
    watches_stack_ = fiber_->started();
    if (watches_stack_) runtime::StackPool::forget_last_quarter(fiber_->stack());
  }
  if (AIOFIBER_UNLIKELY(!fiber_->started())) {
    end_with({start_error(fiber_->scheduler->start_failure())});
  } else {
    end_with(must_cancel_ && !is_c_code() ? cancelled_before_it_began() : call_invoke(*this));
  }
  future_.release();
}

// Ends the task with this cancellation where it waits, as if the error were thrown at `thrower`.
// Precondition: nothing_runs_beyond() the caller.
void TaskCore::end_without_unwinding(std::exception_ptr error, const runtime::Registers& thrower) noexcept {
  runtime::Scheduler& scheduler = loop().scheduler();
  if (thrower.pc != 0) runtime::record_throw(error, thrower);
  end_with({std::move(error), true});
  future_.release();  // as at the end of body()
  scheduler.end_current();
}

// A task that is cancelled before its first step never runs, unless its function is C code.
TaskCore::Ending TaskCore::cancelled_before_it_began() noexcept {
  return {make_cancelled(cancel_message_.view()), true};
}

// Not inlined: a cancellation finds the frame of this function (fate_of_cancellation).
AIOFIBER_NOINLINE TaskCore::Ending TaskCore::call_invoke(TaskCore& task) noexcept {
  Ending ending;
  try {
    task.invoke();
  } catch (const runtime::ForcedUnwind&) {
    ending.destroyed = true;
  } catch (const runtime::MachineDeath&) {
    ending.destroyed = true;
  } catch (const CancelledError&) {
    ending.cancelled = true;
    ending.error = std::current_exception();
  } catch (...) {
    ending.error = std::current_exception();
  }
  return task.with_open_request(std::move(ending));
}

// The same without a throw, for a coroutine that has ended with an error.
TaskCore::Ending TaskCore::ending_of_coroutine() noexcept {
  std::exception_ptr error = take_error();
  if (error == nullptr) return call_invoke(*this);
  const bool cancelled = is_cancelled_error(error);
  return with_open_request({std::move(error), cancelled});
}

// A cancellation that was requested and never raised. It wins over a value, and over the error with which the
// caller of an interrupted hooked call gave up, but over no other error.
TaskCore::Ending TaskCore::with_open_request(Ending ending) const noexcept {
  const bool wins = ending.error == nullptr || fiber_->interrupted;
  if (must_cancel_ && wins && !ending.destroyed && !ending.cancelled) {
    ending.cancelled = true;
    ending.error = nullptr;
  }
  return ending;
}

void TaskCore::end_with(Ending ending) noexcept {
  destroy_closure();
  if (AIOFIBER_UNLIKELY(fiber_->locals != nullptr)) end_task_locals(*fiber_);
  if (loop().debug()) {
    check_stack_depth(true);
    watches_stack_ = false;  // the fiber is released below
  }
  const RareText message = ending.cancelled && ending.error == nullptr ? request_message() : RareText();
  leave_loop();
  try {
    if (ending.destroyed) {
      // Its loop closes: it stays pending.
    } else if (ending.cancelled) {
      future_.finish_cancelled(message, std::move(ending.error));
    } else if (ending.error != nullptr) {
      if (leaves_the_loop(ending.error) && !first_step_is_eager_) loop().scheduler().exit_with(ending.error);
      future_.fail(std::move(ending.error));
    } else {
      finish_value();
    }
  } catch (const RuntimeError&) {
    // The task's last code closed the loop: there is no one to report to.
  }
  if (loop().debug()) before_suspend();  // last, so that a report shows the task's outcome
}

// From here on the fiber is no longer a task. `keep` in body() or step() drops the loop's
// reference.
void TaskCore::leave_loop() noexcept {
  fiber_ = nullptr;
  must_cancel_ = false;
  // An abandoned task gets no more wake-ups.
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
  if (stackless() != nullptr) {
    destroy_stackless();
  } else if (!fiber_->started()) {
    scheduler.destroy_unstarted(*fiber_);
    destroy_closure();
    leave_loop();
  } else if (!scheduler.unwind(*fiber_,
                               fiber_->parker != nullptr && fiber_->parker->throws_when_interrupted)) {
    report_abandoned();
  }
}

// Its fiber is gone, and its frames stay in memory.
void TaskCore::report_abandoned() noexcept {
  leave_loop();
  future_.retain();  // its closure and stack stay, because they may refer to each other
  try {
    log(LogLevel::ERROR, "task '" + name() +
                             "' was abandoned: it waits in a frame that no exception can leave, or catches "
                             "each one and goes on, so its destructors do not run");
  } catch (const std::bad_alloc&) {
    log(LogLevel::ERROR, "a task was abandoned");
  }
}

bool close_next_task(LoopCore& loop, std::exception_ptr& failure) noexcept {
  TaskCore* const task = loop.tasks.back();  // the youngest
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

std::string TaskCore::name() const {
  return name_ != nullptr ? *name_ : "Task-" + std::to_string(name_number_);
}

void TaskCore::set_name(std::string name) {
  if (fiber_ != nullptr) fiber_->set_name(name);
  name_ = std::make_unique<std::string>(std::move(name));
}

std::string task_details(const TaskCore& task) {
  std::string text = " name=" + quote(task.name()) + " coro=<" + entry_name(task.entry()) + "()" +
                     (task.fiber() != nullptr ? " running>" : " done>");
  if (task.waits_for() != nullptr) {
    const TaskCore* awaited = task.waits_for()->task();
    text += " wait_for=" +
            (awaited != nullptr ? "<Task " + quote(awaited->name()) + ">" : task.waits_for()->text());
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
