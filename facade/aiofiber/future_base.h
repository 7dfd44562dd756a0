// SPDX-License-Identifier: Apache-2.0
//
// FutureBase: the state machine of a future, without the type of its value.
//
// pending -> finished or cancelled, once. Whoever waits is a Waiter in the future's list: a node that was
// reserved when the wait was registered, so completing never allocates; it only moves nodes to the ready
// queue, in order of registration, and runs nobody's code.
// Shared by plain counted references: the loop's thread only.
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

// Somebody who waits for a future; embedded in the waiting object.
struct Waiter : runtime::ListNode {
  // What becomes ready: a fiber, or a callback node.
  runtime::Runnable* target = nullptr;
  // Called when the node is moved to the ready queue, to take the references that the queue needs.
  void (*on_scheduled)(Waiter&, FutureBase&) noexcept = nullptr;
  // Set for done-callbacks: the list holds a reference to it.
  HandleBase* handle = nullptr;
};

// A done-callback: it has an id for remove_done_callback(), and is in the loop's table while its future is
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

  // Future::cancel; tasks and gathers have their own way. Throws only RuntimeError: the loop is closed and
  // somebody waits.
  virtual bool cancel(const RareText& message);
  virtual TaskCore* task() noexcept { return nullptr; }
  // What asks its inputs to end when it is asked itself.
  virtual GatherCore* gather() noexcept { return nullptr; }
  // What watches other futures: see release_in_turn() in watch.h.
  virtual WatchOwner* watch_owner() noexcept { return nullptr; }
  // How the value prints, in repr.
  virtual std::string value_text() const = 0;
  virtual const char* kind() const noexcept { return "Future"; }

  // Throws unless there is a value: CancelledError, the exception, InvalidStateError. Counts as retrieval.
  void check_result();
  // As Future::exception().
  std::exception_ptr exception();
  bool failed() const noexcept { return state_ == State::kFinished && exception_ != nullptr; }
  // The exception without retrieving it.
  const std::exception_ptr& peek_exception() const noexcept { return exception_; }
  const RareText& cancel_message() const noexcept { return cancel_message_; }
  // The error that a reader of a cancelled future gets.
  std::exception_ptr cancelled_error();
  void mark_retrieved() noexcept { log_failure_ = false; }

  void set_exception(std::exception_ptr exception);
  // For those that store their value first: InvalidStateError if done.
  void check_pending() const;
  void finish() { complete(State::kFinished); }
  void finish_cancelled(const RareText& message, std::exception_ptr error = nullptr);
  void fail(std::exception_ptr exception);

  // Registers; an already done future makes the target ready at once (next pass).
  void add_waiter(Waiter& waiter);
  // `context`: what the callback runs in, a copy of the caller's if null.
  std::uint64_t add_callback(runtime::Ref<HandleBase> handle, CallbackWaiter& waiter,
                             std::shared_ptr<ContextData> context);
  std::size_t remove_callback(std::uint64_t id) noexcept;
  bool has_waiters() const noexcept { return !waiters_.empty(); }

  // Of the references to a pending future, how many are those of tasks that wait for it. When no others are
  // left, nobody can set its result any more, and that is reported.
  void add_waiting_references(std::uint32_t count) noexcept {
    if (!done()) waiting_references_ += count;
  }
  void remove_waiting_references(std::uint32_t count) noexcept {
    if (!done()) waiting_references_ -= count;  // completing it has forgotten them
  }

  std::string text() const;
  // Where it was made; in debug mode.
  const SourceTrace& source_trace() const noexcept { return source_trace_; }
  // What text() says after the state: overridden by tasks.
  virtual std::string details() const;
  bool quiet_when_destroyed = false;  // no report of a pending task: made by run_until_complete or gather

  // ---- who waits for whom, for debuggers
  // What the registry says of a fiber that waits for this: enum aiofiber_wait, and the object concerned.
  std::uint8_t wait_kind = AIOFIBER_WAIT_FUTURE;
  virtual const void* wait_object() const noexcept { return this; }
  // Of a lock: where the id of the fiber is that has it (0 while nobody has).
  virtual const std::uint64_t* wait_owner() const noexcept { return nullptr; }
  // Appends the futures and tasks that wait for this one, in order of registration; those that wait through a
  // gather, a shield, a TaskGroup and the like too. Throws std::bad_alloc.
  void add_awaiting(std::vector<FutureBase*>& out) const;

 protected:
  virtual ~FutureBase();
  // Reports what nobody looked at and deletes the future; a gather or a shield may live on in its inputs.
  virtual void last_reference_gone() noexcept;
  // The word after the kind: tasks say "cancelling" while they are asked to end.
  virtual std::string state_word(const char* state) const { return state; }
  void complete(State state);
  void reopen() noexcept {
    state_ = State::kPending;
    exception_ = nullptr;
    cancel_message_ = {};
  }

 private:
  void few_references_left() noexcept;
  void report_abandoned() noexcept;
  void waits_are_over();
  // A waiter that has left the list: takes a done-callback out of the table.
  void forget_callback(Waiter& waiter) noexcept {
    if (waiter.handle != nullptr) loop_->callbacks.remove(static_cast<CallbackWaiter&>(waiter));
  }
  void make_target_ready(Waiter& waiter) noexcept;

  std::uint32_t references_ = 0;
  State state_ = State::kPending;
  bool log_failure_ = false;              // failed, and nobody has looked yet
  std::uint32_t waiting_references_ = 0;  // at most references_; 0 once done
  runtime::Ref<LoopCore> loop_;
  runtime::List<Waiter> waiters_;
  std::exception_ptr exception_;
  RareText cancel_message_;
  SourceTrace source_trace_;
};

}  // namespace aiofiber::detail
