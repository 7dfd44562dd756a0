// SPDX-License-Identifier: Apache-2.0
//
// A task without a stack: its steps, and its end when its loop closes.
//
// A step runs the task's coroutines until they wait for something, begins that wait, and returns to the loop.
// The next step ends the wait. If the coroutines ask for a call that needs a stack, the fiber borrows one:
// the call runs on it, may wait there like any task, and the next step follows at once. drive() in coro.cc
// does the same for coroutines that a task with a stack awaits.
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

using runtime::Fiber;
using runtime::Ref;
using Kind = ChainRequest::Kind;

void TaskCore::stackless_step(runtime::Runnable& fiber) noexcept {
  static_cast<TaskCore*>(static_cast<Fiber&>(fiber).owner)->step();
}

void TaskCore::step() noexcept {
  const Ref<FutureBase> keep(&future_);
  Fiber& fiber = *fiber_;
  // The chain is a part of Stackless; a fiber that has begun names it in its record.
  Stackless& own =
      AIOFIBER_LIKELY(fiber.coroutines != 0) ? *reinterpret_cast<Stackless*>(fiber.coroutines) : *stackless();
  own.chain.stack = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0)) | AIOFIBER_COROUTINES_ON_LOOP;
  if (AIOFIBER_UNLIKELY(loop().debug())) step_begins();
  Ending ending;
  if (AIOFIBER_LIKELY(!own.chain.done())) {
    try {
      end_request(own);
    } catch (...) {
      own.chain.error = std::current_exception();
    }
  } else {  // the first step
    if (must_cancel_) {
      fiber.finished = true;
      end_with(cancelled_before_it_began());
      return;
    }
    fiber.coroutines = reinterpret_cast<std::uint64_t>(static_cast<aiofiber_coroutines*>(&own.chain));
    try {
      begin_coroutine();
    } catch (...) {
      ending.error = std::current_exception();
      ending.cancelled = is_cancelled_error(ending.error);
    }
  }
  while (!own.chain.done()) {
    own.chain.run();
    if (own.chain.done()) break;
    try {
      if (begin_request(own)) return;
    } catch (...) {
      own.chain.error = std::current_exception();
    }
  }
  fiber.coroutines = 0;
  fiber.finished = true;
  end_with(ending.error == nullptr ? ending_of_coroutine() : std::move(ending));
}

// Begins the wait that the coroutines have requested. False: go on at once; they find the error.
bool TaskCore::begin_request(Stackless& own) {
  const ChainRequest& request = own.chain.request;
  if (request.kind == Kind::kCall) {
    if (loop().scheduler().borrow_stack(*fiber_, call_on_borrowed_stack)) return true;
    throw runtime::StackError(loop().scheduler().start_failure());
  }
  raise_if_interrupted();
  if (request.kind == Kind::kFuture) {
    if (AIOFIBER_UNLIKELY(request.future == &future_ || &request.future->loop() != &loop())) {
      own.chain.error = refusal_to_wait_for(*request.future);
      begin_pass();  // the coroutine gets the error after it
    } else {
      begin_wait_for_future(*request.future, own.waiter);
    }
  } else if (request.kind == Kind::kUntil) {
    begin_sleep(request.deadline_ns, request.object);
  } else {
    begin_pass();
  }
  return true;
}

void TaskCore::end_request(Stackless& own) {
  const ChainRequest& request = own.chain.request;
  switch (request.kind) {
    case Kind::kFuture:
      if (AIOFIBER_LIKELY(own.chain.error == nullptr)) {
        end_wait_for_future(*request.future, own.waiter);
      } else {
        end_pass();
      }
      break;
    case Kind::kPass:
      end_pass();
      break;
    case Kind::kUntil:
      end_sleep(request.object);
      break;
    case Kind::kCall:
    case Kind::kNone:
      break;
  }
}

void TaskCore::call_on_borrowed_stack(Fiber& fiber) noexcept {
  auto& task = *static_cast<TaskCore*>(fiber.owner);
  const ChainRequest request = task.stackless()->chain.request;
  try {
    request.call(request.object);
  } catch (...) {
    // The call stores its exception. This handler shows to would_terminate() that exceptions end here.
  }
}

void TaskCore::destroy_stackless() noexcept {
  if (fiber_->started() && !loop().scheduler().unwind(*fiber_, fiber_->parker != nullptr &&
                                                                   fiber_->parker->throws_when_interrupted)) {
    report_abandoned();
    return;
  }
  if (runtime::Parker* const parker = std::exchange(fiber_->parker, nullptr)) parker->~Parker();  // a sleep
  if (waiter_ != nullptr && waiter_->linked()) waiter_->unlink();
  if (waits_for_ != nullptr) waits_for_->remove_waiting_references(1);
  waits_for_ = nullptr;
  waiter_ = nullptr;
  destroy_closure();
  end_task_locals(*fiber_);
  loop().scheduler().destroy_unstarted(*fiber_);
  leave_loop();
}

}  // namespace aiofiber::detail
