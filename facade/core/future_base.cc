// SPDX-License-Identifier: Apache-2.0
//
// Transitions of a future, its list of waiters, and the report at its end.
#include "aiofiber/future_base.h"

#include <atomic>

#include "aiofiber/exception_context.h"
#include "aiofiber/future.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "aiofiber/task.h"
#include "core/one_by_one.h"
#include "core/text.h"

namespace aiofiber::detail {

using runtime::Ref;

namespace {
bool is_fiber(const runtime::Runnable& target) noexcept {
  return target.kind == runtime::Runnable::Kind::kFiber || target.kind == runtime::Runnable::Kind::kStackless;
}

struct HandlesOneByOne {
  static runtime::Runnable*& next(runtime::Runnable& handle) noexcept { return handle.next; }
  static void release(runtime::Runnable& handle) noexcept { static_cast<HandleBase&>(handle).release(); }
};
}  // namespace

void FutureBase::check_pending() const {
  if (done()) throw InvalidStateError("invalid state");
}

void FutureBase::complete(State state) {
  state_ = state;
  waiting_references_ = 0;
  waits_are_over();
}

// Moves every waiter to the ready queue, in order of registration.
void FutureBase::waits_are_over() {
  if (waiters_.empty()) return;
  loop_->check_open();
  while (Waiter* waiter = waiters_.pop_front()) {
    if (waiter->on_scheduled != nullptr) {  // a task that waits here has none: the usual case
      forget_callback(*waiter);
      waiter->on_scheduled(*waiter, *this);
    }
    make_target_ready(*waiter);
  }
}

void FutureBase::make_target_ready(Waiter& waiter) noexcept {
  runtime::Scheduler& scheduler = loop_->scheduler();
  if (is_fiber(*waiter.target)) {
    scheduler.wake_fiber(static_cast<runtime::Fiber&>(*waiter.target));
  } else {
    scheduler.make_ready(*waiter.target);
  }
}

bool FutureBase::cancel(const RareText& message) {
  log_failure_ = false;
  if (done()) return false;
  finish_cancelled(message);
  return true;
}

void FutureBase::finish_cancelled(const RareText& message, std::exception_ptr error) {
  cancel_message_ = message;
  exception_ = std::move(error);
  complete(State::kCancelled);
}

void FutureBase::set_exception(std::exception_ptr exception) {
  if (task() != nullptr) throw RuntimeError("Task does not support set_exception operation");
  check_pending();
  if (exception == nullptr) throw TypeError("invalid exception object: the exception_ptr is null");
  fail(std::move(exception));
}

void FutureBase::fail(std::exception_ptr exception) {
  exception_ = std::move(exception);
  log_failure_ = true;
  complete(State::kFinished);
}

// The first reader gets the CancelledError that left the task, later readers get new ones: as in CPython.
std::exception_ptr FutureBase::cancelled_error() {
  if (exception_ != nullptr) return std::exchange(exception_, nullptr);
  return make_cancelled(cancel_message_.view());
}

void FutureBase::check_result() {
  switch (state_) {
    case State::kPending:
      throw InvalidStateError("Result is not set.");
    case State::kCancelled:
      std::rethrow_exception(cancelled_error());
    case State::kFinished:
      break;
  }
  log_failure_ = false;
  if (exception_ == nullptr) return;
  // The reader's stack is added to the exception, so that its traceback shows every task that passed it on.
  if (const TaskCore* reader = current_task_core(); reader != nullptr && !is_cancelled_error(exception_)) {
    const bool hands_on = wait_kind == AIOFIBER_WAIT_GATHER || wait_kind == AIOFIBER_WAIT_SHIELD;
    runtime::add_rethrow_segment(exception_, &reader->future(), hands_on ? nullptr : this);
  }
  std::rethrow_exception(exception_);
}

std::exception_ptr FutureBase::exception() {
  switch (state_) {
    case State::kPending:
      throw InvalidStateError("Exception is not set.");
    case State::kCancelled:
      std::rethrow_exception(cancelled_error());
    case State::kFinished:
      break;
  }
  log_failure_ = false;
  return exception_;
}

void FutureBase::add_waiter(Waiter& waiter) {
  if (!done()) {
    waiters_.push_back(waiter);
    return;
  }
  loop_->check_open();
  if (waiter.on_scheduled != nullptr) waiter.on_scheduled(waiter, *this);
  make_target_ready(waiter);
}

// The list (or, for a done future, the queue) takes over the reference to the handle.
std::uint64_t FutureBase::add_callback(Ref<HandleBase> handle, CallbackWaiter& waiter,
                                       std::shared_ptr<ContextData> context) {
  // One counter for the process: a loop may run in several threads, one after the other.
  static constinit std::atomic<std::uint64_t> last_id{0};
  waiter.id = last_id.fetch_add(1, std::memory_order_relaxed) + 1;
  waiter.owner = this;
  waiter.handle = handle.get();
  handle->context = context != nullptr ? std::move(context) : inherit_context();
  if (!done()) loop_->callbacks.add(waiter);
  add_waiter(waiter);
  handle.detach();
  return waiter.id;
}

std::size_t FutureBase::remove_callback(std::uint64_t id) noexcept {
  CallbackEntry* const entry = loop_->callbacks.find(id);
  if (entry == nullptr || entry->owner != this) return 0;
  auto& waiter = static_cast<CallbackWaiter&>(*entry);
  waiter.unlink();
  forget_callback(waiter);
  waiter.handle->release();
  return 1;
}

void FutureBase::add_awaiting(std::vector<FutureBase*>& out) const {
  for (const Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.after(*waiter)) {
    if (is_fiber(*waiter->target)) {
      out.push_back(&static_cast<TaskCore*>(static_cast<runtime::Fiber*>(waiter->target)->owner)->future());
    } else {
      static_cast<const CallbackNode*>(waiter->target)->add_awaiting(out);
    }
  }
}

// Callbacks of a future that was never completed. Fibers cannot be here: they hold a reference. A callback
// may hold the last handle of another such future, and so on.
void FutureBase::drop_waiters() noexcept {
  while (Waiter* waiter = waiters_.pop_front()) {
    forget_callback(*waiter);
    if (waiter->handle != nullptr) {
      release_one_by_one<runtime::Runnable, HandlesOneByOne>(*waiter->handle);
    } else if (waiter->target->kind == runtime::Runnable::Kind::kCallback) {
      static_cast<CallbackNode*>(waiter->target)->drop();  // a gather or shield that this input keeps alive
    }
  }
}

void FutureBase::few_references_left() noexcept {
  if (references_ == 0) {
    last_reference_gone();
  } else if (wait_kind == AIOFIBER_WAIT_FUTURE &&
             loop_->is_running()) {  // a closing loop destroys tasks one by one
    report_abandoned();
  }
}

// Reported at once: the loop may have other work for ever, and then the deadlock report never comes.
void FutureBase::report_abandoned() noexcept {
  try {
    std::vector<FutureBase*> awaiting;
    add_awaiting(awaiting);
    for (FutureBase* waiting : awaiting) {
      const TaskCore* waiter = waiting->task();
      if (waiter == nullptr) continue;
      const std::string place = source_trace_.location();
      log(LogLevel::WARNING,
          "Task " + quote(waiter->name()) + " waits for a future of which nobody else has a handle any more" +
              (place.empty() ? "" : " (created at " + place + ")") + ": it can only be cancelled\n" +
              format_frames(task_stack(*waiter, std::nullopt)));
    }
  } catch (...) {
    // A failed report must not become an error of the program.
  }
}

// Reports may give out new references to the dying object. It is kept alive meanwhile, and for longer if one
// of them is kept.
void FutureBase::last_reference_gone() noexcept {
  if (log_failure_) {
    log_failure_ = false;
    references_ = 1;
    try {
      ExceptionContext context;
      context.message = std::string(kind()) + " exception was never retrieved";
      context.exception = exception_;
      context.future = AnyFuture(Ref<FutureBase>(this));
      context.source_traceback = source_frames(source_trace_);
      loop_->report(context);
    } catch (...) {
      // KeyboardInterrupt from a handler cannot leave a destructor.
    }
    if (--references_ > 0) return;
  }
  delete this;
}

std::string FutureBase::details() const { return {}; }

std::string FutureBase::text() const {
  const char* state = state_ == State::kPending     ? "pending"
                      : state_ == State::kCancelled ? "cancelled"
                                                    : "finished";
  std::string text = std::string("<") + kind() + " " + state_word(state) + details();
  if (state_ == State::kFinished) {
    text += exception_ != nullptr ? " exception=" + repr(exception_) : " result=" + shorten(value_text());
  }
  std::size_t callbacks = 0;
  std::string first, last;
  for (const Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.after(*waiter)) {
    last = waiter->handle != nullptr ? waiter->handle->name() : "Task.task_wakeup()";
    if (callbacks++ == 0) first = last;
  }
  if (callbacks == 1) text += " cb=[" + first + "]";
  if (callbacks == 2) text += " cb=[" + first + ", " + last + "]";
  if (callbacks > 2)
    text += " cb=[" + first + ", <" + std::to_string(callbacks - 2) + " more>, " + last + "]";
  if (const std::string place = source_trace_.location(); !place.empty()) text += " created at " + place;
  return text + ">";
}

}  // namespace aiofiber::detail
