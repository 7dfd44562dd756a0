// SPDX-License-Identifier: Apache-2.0
//
// The scheduler decides which fiber or callback runs. It runs one pass of asyncio's loop after the other.
//
// A pass polls for I/O, appends due timers to the ready queue, and then runs exactly as many nodes as the
// queue holds at that moment. Nodes that become ready meanwhile wait for the next pass. A fiber that suspends
// runs this logic itself and switches straight to the next fiber. Only user callbacks and polling need the
// loop's own stack (the hub).
//
// A pass with ready work does not always enter the kernel: it polls after kHandlesBetweenPolls nodes or
// kTimeBetweenPolls. A pass without ready work polls, and with a virtual clock every pass polls. If a test
// has installed a Chooser there, a pass runs one node, which the Chooser takes from the front of the queue.
//
// State: the ready queue and the current fiber are here; timers in TimerHeap, descriptors in Reactor, work
// from other threads in Inbox, the reason of a sleep in Parker.
// Threads: the one that runs it, except post() and wake().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/inbox.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/runnable.h"
#include "aiofiber/runtime/engine/stack.h"
#include "aiofiber/runtime/engine/timer_heap.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/trace/trace.h"

namespace aiofiber::runtime {

class Chooser;

class Scheduler {
 public:
  // `clock` must outlive the scheduler. make_scheduler.h has the usual arguments.
  Scheduler(Clock& clock, std::unique_ptr<Reactor> reactor);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // ---- running
  // Runs passes on the calling thread until stop(). An exception from a callback or from exit_with() leaves
  // run() at once, in mid-pass; nodes that have not run stay queued. Throws std::system_error if another
  // thread's loop uses variables per task (task_values.h). Precondition: no scheduler runs on this thread.
  void run();
  // Ends run() after the current pass. Called before run(), it makes run() do one pass.
  void stop() noexcept {
    stop_requested_ = true;
    fibers_begin_passes_ = false;
  }
  bool running() const noexcept { return running_; }
  // Runs one pass. If nothing is ready it first waits for something, at most until `deadline` (0: it does not
  // sleep; kForever: no limit). False: nothing ran. Errors and precondition as run().
  bool run_once(Nanoseconds deadline);
  // For a loop that runs inside another one, before the other one sleeps: the time of the next run_once(). It
  // is in the past if something is ready; kForever if only the reactor's descriptor can tell. From then until
  // the next pass, a post() makes the descriptor readable. Precondition: not running.
  Nanoseconds next_pass() noexcept;
  // Called from the running fiber: run() throws this exception as soon as the fiber is off the CPU.
  void exit_with(std::exception_ptr exception) noexcept {
    exit_exception_ = std::move(exception);
    remaining_ = 0;  // for next_fiber(): no more nodes of this pass, and no other pass
    fibers_begin_passes_ = false;
  }
  // The number of passes begun so far.
  std::uint64_t passes() const noexcept { return passes_; }
  // For a watchdog, any thread. `ticks` changes after every node that runs; `idle` is true while the loop
  // sleeps or does not run. Read without synchronization, so that writers pay nothing.
  struct Pulse {
    std::uint64_t ticks;
    bool idle;
  };
  Pulse pulse() const noexcept;
  // The hook is called on the loop's stack before it sleeps without a deadline; it may make something ready
  // or stop the loop. Null: no hook.
  void set_before_endless_sleep(void (*hook)(void*), void* argument) noexcept {
    before_endless_sleep_ = hook;
    endless_sleep_argument_ = argument;
  }
  // Told when a fiber's step ends in a wait of the runtime, and when its next step begins. Null: nobody. The
  // facade tells of its own waits itself.
  struct StepObserver {
    void (*ends)(Fiber& fiber) noexcept;
    void (*begins)(Fiber& fiber) noexcept;
  };
  const StepObserver* step_observer = nullptr;
  // The hook is called on the stack of a fiber that ignores its interruption (Fiber), before each of its
  // waits. Null: no hook.
  void set_at_ignored_interruption(void (*hook)(void*) noexcept, void* argument) noexcept {
    at_ignored_interruption_ = hook;
    ignored_interruption_argument_ = argument;
  }
  void tell_of_ignored_interruption() noexcept {
    if (at_ignored_interruption_ != nullptr) at_ignored_interruption_(ignored_interruption_argument_);
  }
  // The clock at the last poll. Cheap to read; at most kTimeBetweenPolls old while handles are short.
  Nanoseconds last_poll() const noexcept { return last_poll_; }
  // The scheduler that runs on this thread, or null.
  static Scheduler* current() noexcept { return current_; }

  // ---- what is ready
  // Appends the node to the ready queue; it must not be in it.
  void make_ready(Runnable& node) noexcept {
    AIOFIBER_ASSERT(!node.queued);
    node.queued = true;
    ready_.push(node);
    ++ready_count_;
  }
  std::size_t ready_count() const noexcept { return ready_count_; }
  // Takes everything out of the queue and calls drop(node) for each node: for a loop that closes.
  template <class Drop>
  void discard_ready(Drop drop) {
    while (ready_count_ > 0) drop(*pop_ready());
    remaining_ = 0;
  }
  // Runs the kInternal nodes that are posted or ready. Only while run() does not run. The others stay queued.
  void settle() noexcept;
  // Any thread: appends the node at the loop's next pass. Wakes the loop if it sleeps. Async-signal-safe.
  void post(Runnable& node) noexcept;
  void wake() noexcept { reactor_->wake(); }
  bool has_posted() const noexcept { return !posted_.inbox.empty(); }
  // Moves the nodes that other threads posted to the ready queue.
  void take_posted() noexcept;

  // ---- time
  Nanoseconds now() const noexcept { return clock_.now(); }
  Nanoseconds cpu_time() const noexcept { return clock_.cpu_time(); }
  Clock& clock() const noexcept { return clock_; }
  TimerHeap& timers() noexcept { return timers_; }
  Reactor& reactor() noexcept { return *reactor_; }

  // ---- fibers
  // Creates a fiber that calls body(fiber) on its own stack after it is made ready. stack_bytes 0: the
  // default. The stack is bound when the fiber first runs. If there is none then, body() runs on the loop's
  // stack, with a fiber that is not started(). It must fail with start_failure() at once. Throws
  // std::length_error for an impossible stack size; StackError while stacks are exhausted; std::bad_alloc;
  // std::system_error as run().
  Fiber& create_fiber(Fiber::Entry body, void* owner, std::size_t stack_bytes, std::uintptr_t user_entry);
  // Creates a fiber without a stack. Whenever it is resumed, step(fiber) runs on the loop's own stack, up to
  // the fiber's next wait; it must not throw. The step that ends the fiber sets Fiber::finished. stack_bytes:
  // of the stacks that it borrows. Throws std::length_error; std::bad_alloc; std::system_error as run().
  Fiber& create_stackless(Runnable::Run step, void* owner, std::size_t stack_bytes,
                          std::uintptr_t user_entry);
  // Called in the step of a stackless fiber, as its last action: body(fiber) runs next, on a stack of the
  // pool, on which the fiber may wait. When it returns, the fiber gives the stack back and the next step
  // runs, before anything else. False: there is no stack (start_failure()); the step goes on.
  bool borrow_stack(Fiber& fiber, Fiber::Entry body) noexcept;
  // Frees a fiber that has no stack: it never started, or is stackless and does not run.
  void destroy_unstarted(Fiber& fiber) noexcept;
  // Why the last fiber that could not be started got no stack.
  const char* start_failure() const noexcept { return start_failure_; }
  // Suspends the current fiber until it is made ready. The caller sets the reason by Fiber::set_wait.
  // suspend() and the functions that it calls are not noexcept: a closing loop throws through the frames that
  // wait here.
  void suspend();
  // Lets every other ready node run first.
  void yield();
  // Runs a new fiber, not yet made ready, until it first suspends or ends. Then the caller continues before
  // anything else runs. Call it from a fiber or a callback, while the scheduler runs, on its thread.
  void run_now(Fiber& fiber);
  // Resumes a waiting fiber at the next pass.
  void wake_fiber(Fiber& fiber) noexcept {
    if (fiber.state == AIOFIBER_WAITING) fiber.state = AIOFIBER_READY;
    if (tracing()) trace_wake(fiber, current_fiber());
    make_ready(fiber);
  }
  // Unwinds a suspended fiber by ForcedUnwind and frees it. Only while the scheduler does not run. Returns
  // false when its frames cannot be unwound (a noexcept frame, an await in a destructor, code that catches
  // everything and continues). Then the fiber is abandoned: its record is freed, and its stack is kept for
  // good, because something may refer to objects on it. `parked_wait_throws`: a parked fiber throws when its
  // wait is cut short (Parker::throws_when_interrupted).
  bool unwind(Fiber& fiber, bool parked_wait_throws = false) noexcept;
  // Ends the current fiber where it is. The frames on its stack are given up: no code of theirs runs any
  // more, so the caller must know that none has anything to do (FateOfThrow::kNothingRuns).
  [[noreturn]] void end_current() noexcept;
  // Abandons the current fiber, which unwind() is unwinding: see unwind(). Does not return.
  [[noreturn]] void abandon_current();
  // Counts the unwind requests to a fiber: each ForcedUnwind, and each wait that returns at once. A fiber
  // that continues after this many (a worker that catches everything and starts again) is abandoned.
  static constexpr std::uint32_t kMostUnwindRequests = 1000;
  void count_unwind_request() {
    if (++unwind_requests_ > kMostUnwindRequests) abandon_current();
  }
  std::size_t fibers_alive() const noexcept { return fibers_alive_; }
  // An object that another layer attaches to this loop. release() is called on the loop's thread when the
  // loop is destroyed, before its reactor is destroyed.
  struct Attachment {
    Attachment* next;
    void (*release)(Attachment&) noexcept;
  };
  void attach(Attachment& attachment) noexcept {
    attachment.next = attachments_;
    attachments_ = &attachment;
  }
  // For a forked child: no scheduler runs on its only thread.
  static void forget_after_fork() noexcept;
  StackPool& stacks() noexcept { return stacks_; }
  // Whether an address is on one of this loop's stacks, in use or not. Its thread only; async-signal-safe.
  bool owns_stack(std::uintptr_t address) const noexcept { return stacks_.owns(address); }

 private:
  class RunScope;

  // Inserts the node before everything that is ready, in this pass.
  void put_first(Runnable& node) noexcept {
    AIOFIBER_ASSERT(!node.queued);
    node.queued = true;
    ready_.push_front(node);
    ++ready_count_;
    ++remaining_;
  }
  void run_node(Runnable& node);
  void run_step(Fiber& fiber);
  Fiber& add_fiber(Fiber& fiber) noexcept;
  Runnable* pop_ready() noexcept {
    Runnable* node = ready_.pop();
    --ready_count_;
    node->queued = false;
    return node;
  }
  // The next node of the pass.
  Runnable* take_next() noexcept {
    --remaining_;
    ++handles_since_poll_;
    return pop_ready();
  }
  void begin_pass();
  AIOFIBER_NOINLINE void linger() noexcept;
  Chooser* chooser() const noexcept;
  AIOFIBER_NOINLINE bool chosen_to_poll(Chooser& chooser) const noexcept;
  AIOFIBER_NOINLINE void choose_node(Chooser& chooser) noexcept;
  bool begin_pass_without_polling() noexcept;
  bool poll_is_due() noexcept;
  AIOFIBER_NOINLINE bool clock_says_poll() noexcept;
  void poll_without_waiting();
  void run_pass();
  // The next fiber that can run directly from another fiber's stack; null if the hub has to act first.
  AIOFIBER_NOINLINE Fiber* next_fiber(bool finishing) noexcept;
  void prefetch_following() const noexcept;
  void suspend_here(Fiber& self);
  Nanoseconds cooling_deadline() const noexcept;
  AIOFIBER_NOINLINE bool cool_stacks() noexcept;
  bool prepare(Fiber& fiber) noexcept;
  bool bind(Fiber& fiber, Fiber::Main main) noexcept;
  void resume(Fiber& fiber);
  AIOFIBER_NOINLINE void recycle_finished() noexcept;
  void free_record(Fiber& fiber) noexcept;
  [[noreturn]] static void fiber_main(Fiber& first) noexcept;
  [[noreturn]] static void borrowed_main(Fiber& self) noexcept;

  static constinit thread_local Scheduler* current_ __attribute__((tls_model("initial-exec")));

  Clock& clock_;
  std::unique_ptr<Reactor> reactor_;
  Queue<Runnable> ready_;
  std::size_t ready_count_ = 0;
  std::size_t remaining_ = 0;  // nodes of the current pass that have not run
  std::uint32_t handles_since_poll_ = 0;
  std::uint32_t polls_until_measurement_ = 0;
  Nanoseconds cost_of_poll_ = kUsualCostOfPoll;
  Nanoseconds shortest_time_between_polls_ = kWorkForEachPoll * kUsualCostOfPoll;
  std::uint32_t next_clock_read_ = 0;  // the value of handles_since_poll_ for the next reading
  Nanoseconds last_poll_ = 0;
  std::uint64_t passes_ = 0;
  bool running_ = false;
  bool stop_requested_ = false;
  bool fibers_begin_passes_ = false;  // while it runs, unless a pass must poll or be the last
  bool polls_every_pass_;
  bool runs_once_ = false;
  Nanoseconds wait_at_most_until_ = kForever;  // of run_once()
  bool polling_ = false;                       // inside the reactor
  void (*before_endless_sleep_)(void*) = nullptr;
  void* endless_sleep_argument_ = nullptr;
  void (*at_ignored_interruption_)(void*) noexcept = nullptr;
  void* ignored_interruption_argument_ = nullptr;
  Attachment* attachments_ = nullptr;
  std::uint32_t thread_id_ = 0;
  ExceptionState* exception_state_ = nullptr;  // of the running thread
  Fiber hub_;
  std::uint32_t unwind_requests_ = 0;  // for the fiber that unwind() unwinds
  const char* start_failure_ = nullptr;
  // Off the CPU since the last switch, and done with its stack; the code that runs next recycles it.
  Fiber* finished_ = nullptr;
  std::exception_ptr exit_exception_;
  TimerHeap timers_;
  std::uint32_t posted_since_sleep_ = 0;  // nodes from other threads since the last sleep or linger()
  StackPool stacks_;
  Nanoseconds last_cooling_ = 0;  // when memory of idle stacks was last given back
  bool only_cooled_ = false;      // the last pass woke only for that
  RecordSlab records_;
  std::size_t fibers_alive_ = 0;
  // What other threads write, away from what the loop writes all the time.
  struct alignas(kCacheLineBytes) Posted {
    Inbox inbox;
    std::atomic<std::uint32_t> waking{0};  // threads that are in wake(): the destructor waits for them
  } posted_;
};

}  // namespace aiofiber::runtime
