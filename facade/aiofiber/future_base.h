// SPDX-License-Identifier: Apache-2.0
//
// FutureBase: the state machine of a future, without the type of its value.
//
// pending -> finished or cancelled, once. Each waiter is a Waiter node in the future's list, reserved when
// the wait is registered. Completing the future therefore never allocates and runs no user code: it only
// moves the nodes to the ready queue, in order of registration.
// References are counted without atomics: the loop's thread only.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/exceptions.h"
#include "aiofiber/handle.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/rare_text.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/source_trace.h"

namespace aiofiber::detail {

class FutureBase;
class GatherCore;
class TaskCore;
class WatchOwner;

// A waiter of a future; embedded in the waiting object.
struct Waiter : runtime::ListNode {
  // The object that becomes ready: a fiber, or a callback node.
  runtime::Runnable* target = nullptr;
  // Called when the node moves to the ready queue: takes the references that the queue needs.
  void (*on_scheduled)(Waiter&, FutureBase&) noexcept = nullptr;
  // Set for done-callbacks: the list holds a reference to it.
  HandleBase* handle = nullptr;
};

// A done-callback. It has an id for remove_done_callback(), and it is in the loop's table while its future is
// pending.
struct CallbackWaiter : Waiter, CallbackEntry {};

class FutureBase {
 public:
  enum class State : std::uint8_t { kPending, kCancelled, kFinished };

  explicit FutureBase(LoopCore& loop) : loop_(&loop) {
    if (AIOFIBER_UNLIKELY(loop.debug())) source_trace_.capture();
  }
  FutureBase(const FutureBase&) = delete;
  FutureBase& operator=(const FutureBase&) = delete;

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (AIOFIBER_UNLIKELY(--references_ <= waiting_references_)) few_references_left();
  }
  std::uint32_t references() const noexcept { return references_; }

  bool done() const noexcept { return state_ != State::kPending; }
  bool cancelled() const noexcept { return state_ == State::kCancelled; }
  LoopCore& loop() const noexcept { return *loop_; }

  // Future::cancel; tasks and gathers override it. Throws only RuntimeError: the loop is closed and the
  // future has waiters.
  virtual bool cancel(const RareText& message);
  virtual TaskCore* task() noexcept { return nullptr; }
  // Not null for a gather, which passes cancellation requests on to its inputs.
  virtual GatherCore* gather() noexcept { return nullptr; }
  // Not null for an owner of watches: see release_in_turn() in watch.h.
  virtual WatchOwner* watch_owner() noexcept { return nullptr; }
  // The value as repr shows it.
  virtual std::string value_text() const = 0;
  virtual const char* kind() const noexcept { return "Future"; }

  // Throws unless there is a value: CancelledError, the exception, InvalidStateError. Counts as retrieval.
  void check_result();
  // As Future::exception().
  std::exception_ptr exception();
  bool failed() const noexcept { return state_ == State::kFinished && exception_ != nullptr; }
  // The exception; does not count as retrieval.
  const std::exception_ptr& peek_exception() const noexcept { return exception_; }
  const RareText& cancel_message() const noexcept { return cancel_message_; }
  // The exception that a reader of a cancelled future gets.
  std::exception_ptr cancelled_error();
  void mark_retrieved() noexcept { log_failure_ = false; }

  void set_exception(std::exception_ptr exception);
  // Call this before storing a value: InvalidStateError if done.
  void check_pending() const;
  void finish() { complete(State::kFinished); }
  void finish_cancelled(const RareText& message, std::exception_ptr error = nullptr);
  void fail(std::exception_ptr exception);

  // Registers the waiter. If the future is done already, the target becomes ready at once (next pass).
  void add_waiter(Waiter& waiter);
  // `context`: the context in which the callback runs; null: a copy of the caller's.
  std::uint64_t add_callback(runtime::Ref<HandleBase> handle, CallbackWaiter& waiter,
                             std::shared_ptr<ContextData> context);
  std::size_t remove_callback(std::uint64_t id) noexcept;
  bool has_waiters() const noexcept { return !waiters_.empty(); }

  // Counts those references to a pending future that belong to tasks waiting for it. If there are no other
  // references, its result can never be set, and this is reported.
  void add_waiting_references(std::uint32_t count) noexcept {
    if (!done()) waiting_references_ += count;
  }
  void remove_waiting_references(std::uint32_t count) noexcept {
    if (!done()) waiting_references_ -= count;  // completing the future has reset the count
  }

  std::string text() const;
  // Where the future was made; in debug mode.
  const SourceTrace& source_trace() const noexcept { return source_trace_; }
  // The part of text() after the state; tasks override it.
  virtual std::string details() const;
  bool quiet_when_destroyed = false;  // no report of a pending task: made by run_until_complete or gather

  // ---- the graph of waiting tasks, for debuggers
  // What the registry says of a fiber that waits for this future: enum aiofiber_wait, and the object
  // concerned.
  std::uint8_t wait_kind = AIOFIBER_WAIT_FUTURE;
  virtual const void* wait_object() const noexcept { return this; }
  // For a lock: the address of the id of the fiber that holds it (0: free).
  virtual const std::uint64_t* wait_owner() const noexcept { return nullptr; }
  // Appends the futures and tasks that wait for this one, in order of registration. This includes waiters
  // behind a gather, a shield, a TaskGroup and so on. Throws std::bad_alloc.
  void add_awaiting(std::vector<FutureBase*>& out) const;

 protected:
  virtual ~FutureBase() {
    if (AIOFIBER_UNLIKELY(!waiters_.empty())) drop_waiters();
  }
  // Reports an unread error and deletes the future. A gather or a shield may live on, held by its inputs.
  virtual void last_reference_gone() noexcept;
  // The state's word in repr: tasks say "cancelling" while a cancellation request is open.
  virtual std::string state_word(const char* state) const { return state; }
  void complete(State state);
  void reopen() noexcept {
    state_ = State::kPending;
    exception_ = nullptr;
    cancel_message_ = {};
  }

 private:
  void few_references_left() noexcept;
  void drop_waiters() noexcept;
  void report_abandoned() noexcept;
  void waits_are_over();
  // For a waiter that has left the list: removes a done-callback from the table.
  void forget_callback(Waiter& waiter) noexcept {
    if (waiter.handle != nullptr) loop_->callbacks.remove(static_cast<CallbackWaiter&>(waiter));
  }
  void make_target_ready(Waiter& waiter) noexcept;

  std::uint32_t references_ = 0;
  State state_ = State::kPending;
  bool log_failure_ = false;              // failed, and the error was not read yet
  std::uint32_t waiting_references_ = 0;  // at most references_; 0 once done
  runtime::Ref<LoopCore> loop_;
  runtime::List<Waiter> waiters_;
  std::exception_ptr exception_;
  RareText cancel_message_;
  SourceTrace source_trace_;
};

}  // namespace aiofiber::detail
