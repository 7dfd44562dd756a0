// SPDX-License-Identifier: Apache-2.0
//
// A cancellation of a task: stored, raised, or kept back.
//
// A request that reached the task (cancel_walk.cc) is raised where the task waits. Before that, the exception
// tables show whether the exception would reach a handler. If not, the request is stored for a later wait.
// Invariant: no exception is thrown that would end the program in one of the task's frames.
#include <exception>
#include <span>
#include <typeinfo>

#include "aiofiber/exception_group.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

namespace {

// The type of the exception that leaves the requesting scope.
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

// The caller of the `frames` innermost functions, this one included. None of them is inlined, and the last
// one can throw. So the frame's unwind table has an entry for its call, where the search for handlers can
// start.
AIOFIBER_NOINLINE runtime::Registers frame_outside(std::size_t frames, runtime::StackBounds bounds) noexcept {
  runtime::Registers frame = runtime::current_registers();
  std::uintptr_t own_frames[3];
  runtime::unwind_onwards(frame, bounds, std::span(own_frames).first(frames));
  return frame;
}

}  // namespace

int TaskCore::uncancel() noexcept {
  if (cancel_requests_ > 0 && --cancel_requests_ == 0 && fiber_ != nullptr && !fiber_->interrupted)
    must_cancel_ = false;
  return cancel_requests_;
}

// Whether the requested CancelledError would end the program when it is thrown at these frames.
bool TaskCore::would_terminate(const runtime::Registers& registers, CancelSource source) const noexcept {
  struct Ahead {
    std::uint32_t scopes;  // to be passed, with the requesting one; 0: none of them requested it
    CancelSource::Error error;
  } ahead{0, source.error};
  const bool known = source.scope != 0 && source.scope <= open_scopes_ && open_scopes_ < kMostScopes;
  if (known) ahead.scopes = open_scopes_ - source.scope + 1;
  const runtime::Throw what{&typeid(CancelledError),
                            [](const std::type_info* thrown, void* argument) noexcept {
                              auto& left = *static_cast<Ahead*>(argument);
                              return left.scopes != 0 && --left.scopes == 0 ? &error_type(left.error)
                                                                            : thrown;
                            },
                            &ahead};
  return runtime::throw_would_terminate(registers, fiber_->bounds(), what);
}

// Whether an exception that is thrown where the task waits would reach a handler. If not, the request is kept
// back.
bool TaskCore::can_be_thrown_at(CancelSource source) const noexcept {
  if (!fiber_->started()) return true;  // a coroutine passes on each exception
  const runtime::Registers registers =
      runtime::saved_registers(reinterpret_cast<const void*>(fiber_->fcontext));
  if (registers.pc == 0 && fiber_->exceptions.uncaught_exceptions > 0)
    return false;  // the frames are unknown
  return !would_terminate(registers, source);
}

void TaskCore::remember_request(const RareText& message, CancelSource source) noexcept {
  // Two requesters of different kinds: the scope then throws an ordinary CancelledError.
  if (must_cancel_ && source_scope_ != source.scope) source = {};
  remember_source(source);
  must_cancel_ = true;
  cancel_message_ = message;
  // Not for a scope of its own, which decides at its end.
  if (source.scope == 0 && is_c_code()) {
    interrupt_message_ = message;
    fiber_->interrupted = true;
  }
}

// Cancels what the suspended task waits for, if it is not another task. True if the wait will end.
bool TaskCore::interrupt_current_wait(const RareText& message, CancelSource source) noexcept {
  if (fiber_->parker == nullptr) return false;
  if (fiber_->parker->throws_when_interrupted && !can_be_thrown_at(source)) return false;
  if (!fiber_->parker->interrupt()) return false;
  must_cancel_ = true;
  remember_source(source);
  may_raise_ = fiber_->parker->throws_when_interrupted;
  interrupt_message_ = message;
  return true;
}

// The error of the stored request, which is raised now.
CancelledError TaskCore::take_request() noexcept {
  CancelledError error = cancelled_error(request_message().view());
  must_cancel_ = false;
  fiber_->interrupted = false;
  return error;
}

// The same as a pointer. Not a part of the caller: its temporaries must be gone before a task ends there.
AIOFIBER_NOINLINE std::exception_ptr TaskCore::take_request_as_pointer() noexcept {
  return std::make_exception_ptr(take_request());
}

// Raises the stored cancellation, unless it could not pass the waiting frames (a destructor, a noexcept
// function): then it stays stored for a later await. If no frame has anything to do on its way, the task ends
// at once: a throw costs twice as much as all the rest of a cancellation.
AIOFIBER_NOINLINE void TaskCore::raise_where_legal() {
  if (!fiber_->started()) throw take_request();  // a coroutine passes on each exception
  const runtime::Registers frame = frame_outside(2, fiber_->bounds());
  if (nothing_runs_beyond(frame)) end_without_unwinding(take_request_as_pointer(), frame);
  if (!may_raise_) {
    if (frame.pc == 0 && std::uncaught_exceptions() > 0) return;
    if (would_terminate(frame, remembered_source())) return;
  }
  throw take_request();
}

// The same in a step of a task without a stack: the coroutine throws the error when it goes on.
void TaskCore::raise_in_coroutine() noexcept {
  std::exception_ptr error = take_request_as_pointer();
  runtime::record_throw(error, runtime::current_registers());
  stackless()->chain.error = std::move(error);
}

// Whether a cancellation that leaves the calling function, a wait, would end the task without running any
// code before. `caller`: the return address of the wait.
AIOFIBER_NOINLINE bool TaskCore::nothing_runs_outside(const void* caller) const noexcept {
  if (runtime::is_known_to_run_code(reinterpret_cast<std::uintptr_t>(caller))) return false;
  const runtime::Registers frame = frame_outside(3, fiber_->bounds());
  return nothing_runs_beyond(frame);
}

// call_invoke() catches what leaves the task's function.
bool TaskCore::nothing_runs_beyond(const runtime::Registers& frame) const noexcept {
  return runtime::nothing_runs_before(reinterpret_cast<std::uintptr_t>(&TaskCore::call_invoke), frame,
                                      fiber_->bounds());
}

// Whether the calling function, a wait or the end of a scope, could raise a cancellation.
AIOFIBER_NOINLINE bool TaskCore::can_be_raised_by_caller(CancelSource source) const noexcept {
  if (!fiber_->started()) return true;  // a coroutine passes on each exception
  const runtime::Registers frame = frame_outside(3, fiber_->bounds());
  if (frame.pc == 0 && std::uncaught_exceptions() > 0) return false;
  return !would_terminate(frame, source);
}

AIOFIBER_NOINLINE bool TaskCore::cancellation_passes_or_is_kept() {
  if (can_be_raised_by_caller({})) return true;
  must_cancel_ = true;  // with the message of the last request
  remember_source({});
  return false;
}

// The loop closes: the task ends by ForcedUnwind. If that would end the program, its fiber stays suspended
// for ever.
AIOFIBER_NOINLINE void TaskCore::end_with_loop() {
  runtime::Scheduler& scheduler = loop().scheduler();
  scheduler.count_unwind_request();
  const runtime::Registers frame = frame_outside(2, fiber_->bounds());
  const bool unknown = frame.pc == 0 && std::uncaught_exceptions() > 0;
  if (unknown ||
      runtime::throw_would_terminate(frame, fiber_->bounds(), {.type = &typeid(runtime::ForcedUnwind)})) {
    scheduler.abandon_current();
  }
  throw runtime::ForcedUnwind();
}

}  // namespace aiofiber::detail
