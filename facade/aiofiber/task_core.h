// SPDX-License-Identifier: Apache-2.0
//
// TaskCore: the part that makes a future a task: a fiber, a name, and the delivery of cancellations.
//
// The fiber has a stack, or the task consists of C++20 coroutines and its fiber has none (Stackless).
// A cancellation is a request. A waiting task passes it on to what it waits for. A running or ready task
// stores it (must_cancel) until its next suspension. Chains of tasks are walked without recursion
// (cancel_walk). The loop's list holds a reference while the task is pending. The fiber's owner pointer
// refers to this object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "aiofiber/context.h"
#include "aiofiber/coro_chain.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/future.h"
#include "aiofiber/rare_text.h"

namespace aiofiber {

class Timeout;

// The keyword arguments of create_task(), and the size of its stack.
struct TaskOptions {
  std::string name = {};  // empty: "Task-N"
  // Bytes; 0: 256 KiB of address space. Rounded up to a power of two, 32 KiB (arm64: 64) to 1 GiB. For a
  // Coro: of the stacks that it borrows.
  std::size_t stack_size = 0;
  std::optional<Context> context = std::nullopt;  // absent: a copy of the current one
  // In a running loop, create_task() runs the task's first step before it returns, until the task suspends
  // for the first time or ends. A task that never suspends costs no pass, and is done when create_task()
  // returns.
  // In a loop that does not run: no effect. KeyboardInterrupt and SystemExit of the first step leave
  // create_task(). Source: asyncio.eager_task_factory (3.12).
  bool eager_start = false;
};

namespace detail {

// The handle through which a task awaits a future: whether the reference belongs only to the waiting task.
struct WaitHandle {
  const void* address = nullptr;  // null: there is none
  bool taken = false;             // the wait ends its lifetime, and no other code can see it
  bool reads_result = false;  // the caller reads the result next, which throws if the future was cancelled
};

// The source of a cancellation request: one of the task's own open scopes (a Timeout, a TaskGroup), or,
// without a scope, any other code. A scope replaces its CancelledError with another exception.
struct CancelSource {
  enum class Error : std::uint32_t { kTimeout, kGroup, kBaseGroup };
  std::uint32_t scope = 0;  // its number, from open_scope()
  Error error = {};
};

class CancelMany;

// A cancellation request on its way through tasks and gathers (cancel_walk.cc).
struct CancelWalk {
  const RareText& message;
  CancelSource source;         // of the first task
  CancelMany* many = nullptr;  // not null: it knows who was asked before; as one of many requests at once
  bool accepted = false;       // the answer of the task or gather that was asked last
  bool ring = false;           // a ring was found below; the task that closes it is not yet taken out
  std::uint32_t repeats = 0;   // how often somebody was reached who had been asked before
};

// What a task without a stack has instead of one.
struct Stackless {
  CoroChain chain;  // first: step() finds this object by the address of its chain
  Waiter waiter;    // of the wait that its chain requested
};

class TaskCore : public runtime::ListNode {
 public:
  // Creates the fiber and puts the task on the loop's list; it runs once it is launched. Precondition: the
  // closure is set.
  // Errors of Scheduler::create_fiber.
  void start(const TaskOptions& options, EntryInfo entry);
  // Makes it ready, or runs its first step now (in a running loop, on its thread). A second call does
  // nothing.
  void launch(bool eagerly);
  // The factory refused the task: it ends cancelled and does not run. If it was launched already, it is
  // cancelled.
  void refuse() noexcept;

  FutureBase& future() const noexcept { return future_; }
  LoopCore& loop() const noexcept { return future_.loop(); }
  runtime::Fiber* fiber() const noexcept { return fiber_; }  // null once done

  std::string name() const;
  void set_name(std::string name);
  int cancelling() const noexcept { return cancel_requests_; }
  int uncancel() noexcept;
  bool cancel(const RareText& message, CancelSource source = {});
  // ---- for a CancelWalk
  // Requests the cancellation of the task. Returns what it waits for, if that must be asked instead. `above`:
  // the requester.
  FutureBase* enter_walk(CancelWalk& walk, FutureBase* above) noexcept;
  // What it waits for has answered. Returns `above`.
  FutureBase* leave_walk(CancelWalk& walk, FutureBase& awaited) noexcept;
  // Requests that add to cancelling() only.
  void count_requests(std::uint32_t requests) noexcept;
  // Begins a scope: code whose handler replaces the CancelledError that the scope itself requested
  // (runtime::PassesOnOther). Returns its number, counted from 1 for the outermost. Scopes nest and end in
  // reverse order. After kMostScopes it returns 0, and requests of further scopes count as requests without a
  // scope.
  std::uint32_t open_scope() noexcept { return open_scopes_ < kMostScopes ? ++open_scopes_ : 0; }
  void close_scope(std::uint32_t number) noexcept {
    if (number == 0) return;
    open_scopes_ = static_cast<std::uint16_t>(number - 1);
    if (source_scope_ >= number) forget_request_of_scope();
  }
  EntryInfo entry() const noexcept { return entry_; }
  // The message of the last request that could not be passed on to what the task waited for.
  const RareText& last_cancel_message() const noexcept { return cancel_message_; }
  // The future it waits for, or null.
  FutureBase* waits_for() const noexcept { return waits_for_; }
  std::shared_ptr<ContextData>& context() noexcept { return context_; }
  Timeout* innermost_timeout = nullptr;  // its open Timeout scopes, linked by the scopes themselves

  // ---- for awaits of the current task
  // Suspends until the future is done. Throws CancelledError, RuntimeError (other loop, itself),
  // ForcedUnwind.
  void wait_for_future(FutureBase& future, WaitHandle handle = {});
  // Suspends for one pass.
  void wait_one_pass();
  // Suspends until the deadline.
  void wait_until(std::int64_t deadline_ns);
  // ---- the same in two halves, for a task without a stack: the step that begins a wait returns, and the
  // next step ends it. The first half throws only for lack of memory, or if the loop is closed. The second
  // half throws what the wait throws.
  void begin_wait_for_future(FutureBase& future, Waiter& waiter);
  void end_wait_for_future(FutureBase& future, Waiter& waiter);
  void begin_pass();
  void end_pass();
  // `memory`: for a runtime::Parker, until the end.
  void begin_sleep(std::int64_t deadline_ns, void* memory);
  void end_sleep(void* memory);

  // Raises a cancellation that interrupted a runtime wait (a hooked call returned ECANCELED).
  void raise_if_interrupted() {
    if (AIOFIBER_UNLIKELY(fiber_->interrupted && must_cancel_)) raise_where_legal();
  }

  // For a function that C code called: its CancelledError was caught and becomes an error code. The request
  // is open again, as after an interrupted hooked call.
  void keep_cancellation() noexcept { must_cancel_ = fiber_->interrupted = true; }

  // For a scope that the CancelledError of another request leaves: whether it may pass the caller's frame. If
  // it would end the program there, the request is stored, and the scope must end in another way. Not
  // noexcept: the caller's unwind table must have an entry for this call, where the search for handlers
  // starts.
  bool cancellation_passes_or_is_kept();

  // For debuggers: the gather or similar object that waits for this task (wait_object() of the future), or
  // null.
  void note_watcher(const void* watcher) noexcept;

  // For a closing loop. Calls its exception handler, which may throw an exception that leaves the loop, or
  // bad_alloc. Then unwinds the suspended fiber, which must not be queued, or drops an unstarted one.
  void report_pending();
  void destroy_pending() noexcept;

  static void fiber_main(runtime::Fiber& fiber) noexcept;
  // A step of a task without a stack.
  static void stackless_step(runtime::Runnable& fiber) noexcept;
  // Null for a task with a stack.
  virtual Stackless* stackless() noexcept { return nullptr; }
  // Whether its function is C code, which may only make hooked calls. A request that is stored then ends the
  // next one, and the function is called even if the task was cancelled before.
  virtual bool is_c_code() const noexcept { return false; }

 protected:
  explicit TaskCore(FutureBase& future) noexcept : future_(future) {}
  ~TaskCore() = default;
  // Calls the closure and stores its value. Without a stack: stores the value of the coroutine, which has
  // ended.
  virtual void invoke() = 0;
  // Makes the outermost coroutine and puts it into the chain; for a task without a stack.
  virtual void begin_coroutine() {}
  // The exception with which the coroutine has ended, or null.
  virtual std::exception_ptr take_error() noexcept { return nullptr; }
  virtual void finish_value() = 0;
  virtual void destroy_closure() noexcept = 0;
  virtual bool closure_contains(const void* address) const noexcept = 0;

 private:
  std::exception_ptr refusal_to_wait_for(const FutureBase& future) const;
  void begin_wait(FutureBase& future, Waiter& waiter);
  bool end_wait(FutureBase& future);
  void note_wait(runtime::Fiber& fiber, FutureBase& future) noexcept;
  bool keeps_for_itself(WaitHandle handle) const noexcept;
  void before_suspend() noexcept;
  void step_begins() noexcept;
  void check_stack_depth(bool at_end) noexcept;
  void after_resume();
  CancelledError take_request() noexcept;
  std::exception_ptr take_request_as_pointer() noexcept;
  // The scope has ended: drops its request if that was not raised.
  void forget_request_of_scope() noexcept {
    source_scope_ = 0;
    must_cancel_ = fiber_->interrupted = false;
  }
  CancelSource remembered_source() const noexcept { return {source_scope_, source_error_}; }
  // Of a new request.
  void remember_source(CancelSource source) noexcept {
    may_raise_ = false;
    source_scope_ = static_cast<std::uint16_t>(source.scope);
    source_error_ = source.error;
  }
  void raise_where_legal();
  void raise_in_coroutine() noexcept;
  bool nothing_runs_outside(const void* caller) const noexcept;
  bool nothing_runs_beyond(const runtime::Registers& frame) const noexcept;
  bool can_be_raised_by_caller(CancelSource source) const noexcept;
  [[noreturn]] void end_with_loop();
  void remember_request(const RareText& message, CancelSource source) noexcept;
  bool interrupt_current_wait(const RareText& message, CancelSource source) noexcept;
  bool can_be_thrown_at(CancelSource source) const noexcept;
  bool would_terminate(const runtime::Registers& registers, CancelSource source) const noexcept;
  // The message of the CancelledError to raise next.
  const RareText& request_message() const noexcept {
    return fiber_ != nullptr && fiber_->interrupted ? interrupt_message_ : cancel_message_;
  }
  // How the task's code has ended.
  struct Ending {
    std::exception_ptr error;
    bool cancelled = false;
    bool destroyed = false;  // its loop closes
  };
  Ending cancelled_before_it_began() noexcept;
  static Ending call_invoke(TaskCore& task) noexcept;
  Ending ending_of_coroutine() noexcept;
  Ending with_open_request(Ending ending) const noexcept;
  [[noreturn]] void end_without_unwinding(std::exception_ptr error,
                                          const runtime::Registers& thrower = {}) noexcept;
  void end_with(Ending ending) noexcept;
  void body() noexcept;
  void step() noexcept;
  bool begin_request(Stackless& own);
  void end_request(Stackless& own);
  static void call_on_borrowed_stack(runtime::Fiber& fiber) noexcept;
  void report_abandoned() noexcept;
  void destroy_stackless() noexcept;
  void run_first_step();
  void leave_loop() noexcept;

  FutureBase& future_;
  runtime::Fiber* fiber_ = nullptr;
  FutureBase* waits_for_ = nullptr;
  Waiter* waiter_ = nullptr;  // registered at waits_for_
  EntryInfo entry_;
  std::uint64_t name_number_ = 0;
  std::unique_ptr<std::string> name_;  // null: "Task-N"
  RareText cancel_message_;            // of the last request that had to be stored
  RareText interrupt_message_;         // of the request that interrupted a runtime wait
  std::shared_ptr<ContextData> context_;
  std::int64_t step_started_ns_ = -1;  // debug mode, CPU time; -1: it was off when the step began
  // Two words, because there may be a million tasks. The fields of a scope are half words, not bits: a store
  // to a part of a word that is then read as a whole stalls the processor (store forwarding).
  static constexpr std::uint16_t kMostScopes = 0xffff;
  std::uint16_t open_scopes_ = 0;
  std::uint16_t source_scope_ = 0;  // of the stored request (must_cancel_): its CancelSource
  CancelSource::Error source_error_ : 2 = {};
  bool must_cancel_ : 1 = false;
  bool cancel_walk_ : 1 = false;  // a cancel() passes through: a ring of tasks comes back here
  bool launched_ : 1 = false;
  bool first_step_is_eager_ : 1 = false;  // while launch() waits for its end
  bool watches_stack_ : 1 = false;        // debug mode: reports a task that comes near the end of its stack
  bool may_raise_ : 1 = false;            // the stored request may be raised where the task waits
  static constexpr int kMostRequests = (1 << 23) - 1;  // larger counts saturate
  int cancel_requests_ : 24 = 0;
};

inline TaskCore* task_of(const runtime::Fiber* fiber) noexcept {
  if (fiber == nullptr) return nullptr;
  auto* const task = static_cast<TaskCore*>(fiber->owner);
  return task != nullptr && task->fiber() == fiber ? task : nullptr;
}
// Destroys the values of TaskLocal variables; does nothing if there are none (task_local.cc).
void end_task_locals(runtime::Fiber& fiber) noexcept;
// The task whose code runs now, or null: a finished task runs no user code.
inline TaskCore* current_task_core() noexcept { return task_of(runtime::current_fiber_or_step()); }
// The same, and null if the code runs in a task without a stack.
inline TaskCore* current_task_core_with_stack() noexcept { return task_of(runtime::current_fiber()); }
// Throws the RuntimeError for an await that cannot work at this place; it names the remedy.
[[noreturn]] void throw_outside_task();
// The current task, for a function that may suspend it. RuntimeError outside a task, and in a task without a
// stack.
inline TaskCore& require_current_task() {
  TaskCore* const task = current_task_core_with_stack();
  if (AIOFIBER_UNLIKELY(task == nullptr)) throw_outside_task();
  return *task;
}

template <class T>
class TaskState : public FutureState<T>, public TaskCore {
 public:
  explicit TaskState(LoopCore& loop) : FutureState<T>(loop), TaskCore(static_cast<FutureBase&>(*this)) {}
  bool cancel(const RareText& message) override { return TaskCore::cancel(message); }
  TaskCore* task() noexcept override { return this; }
  const char* kind() const noexcept override { return "Task"; }
  std::string details() const override;

 protected:
  std::string state_word(const char* state) const override {
    return cancelling() > 0 && !this->done() ? "cancelling" : state;
  }
};
std::string task_details(const TaskCore& task);
template <class T>
std::string TaskState<T>::details() const {
  return task_details(*this);
}

// The callable that a task stores.
template <class F>
struct TaskClosure {
  static_assert(std::is_nothrow_destructible_v<F>,
                "the function of a task must not throw when it is destroyed: wrap what it owns");
  using type = F;
};

// A task with its closure, in one allocation.
template <class T, class F>
class ClosureTask final : public TaskState<T> {
 public:
  template <class G>
  ClosureTask(LoopCore& loop, G&& closure)
      : TaskState<T>(loop), closure_(std::in_place, std::forward<G>(closure)) {}

 protected:
  void invoke() override {
    if constexpr (std::is_void_v<T>) {
      run_closure();
      this->slot().emplace();
    } else if constexpr (std::is_reference_v<T>) {
      this->slot().emplace(run_closure());
    } else {
      this->slot().emplace(run_closure());
    }
  }
  void finish_value() override { this->finish(); }
  void destroy_closure() noexcept override {
    if constexpr (IsCoroutine<F>::value) {
      if (closure_) closure_->close();  // cancelled before it began: no never-awaited report
    }
    closure_.reset();
  }
  bool closure_contains(const void* address) const noexcept override {
    const auto* const at = static_cast<const char*>(address);
    const auto* const closure = reinterpret_cast<const char*>(&closure_);
    return std::less_equal<>()(closure, at) && std::less<>()(at, closure + sizeof closure_);
  }

 private:
  // Not inlined: g++ describes no function that it inlines into the thunk of invoke(), so the user's function
  // would be missing in stacks.
  AIOFIBER_NOINLINE T run_closure() {
    if constexpr (IsCoroutine<F>::value) {
      return closure_->run();
    } else if constexpr (std::is_void_v<T>) {
      static_cast<void>(std::invoke(*closure_));
    } else {
      return std::invoke(*closure_);
    }
  }
  std::optional<typename TaskClosure<F>::type> closure_;
};

}  // namespace detail
}  // namespace aiofiber
