// SPDX-License-Identifier: Apache-2.0
//
// The scheduler: who runs. One pass of asyncio's loop, over fibers and callbacks.
//
// A pass polls for I/O, appends due timers to the ready queue, and then runs exactly as many nodes as the
// queue held at that moment; what becomes ready meanwhile waits for the next pass. A fiber that suspends
// runs this logic itself and switches straight to the next fiber; only user callbacks and polling need
// the loop's own stack (the hub).
//
// A pass with ready work does not always enter the kernel: it polls when nothing is ready, and otherwise
// after kHandlesBetweenPolls nodes or kTimeBetweenPolls. A virtual clock polls in every pass.
//
// State: the ready queue and the current fiber are here; timers in TimerHeap, descriptors in Reactor,
// foreign threads' work in Inbox, the reason of a sleep in Parker.
// Threads: the one that runs it, but for post() and wake().
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

class Scheduler {
 public:
  // `clock` must outlive the scheduler. make_scheduler.h has the usual arguments.
  Scheduler(Clock& clock, std::unique_ptr<Reactor> reactor);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // ---- running
  // Runs passes until stop(), on the calling thread; an exception that leaves a callback, or was handed to
  // exit_with(), leaves it at once, in mid-pass, and the nodes that have not run stay queued.
  // Precondition: no scheduler runs on this thread.
  void run();
  // The current pass is finished first. Before run(): it runs one pass.
  void stop() noexcept {
    stop_requested_ = true;
    fibers_begin_passes_ = false;
  }
  bool running() const noexcept { return running_; }
  // The running fiber's body wants run() to end with this exception as soon as the fiber is off the CPU.
  void exit_with(std::exception_ptr exception) noexcept {
    exit_exception_ = std::move(exception);
    remaining_ = 0;  // for next_fiber(): nothing more of this pass, and no other one
    fibers_begin_passes_ = false;
  }
  // Passes begun so far.
  std::uint64_t passes() const noexcept { return passes_; }
  // For a watchdog, any thread: `ticks` is another number after every node that was run; `idle` while the
  // loop sleeps or does not run. Read without synchronization, as the writers pay nothing for it.
  struct Pulse {
    std::uint64_t ticks;
    bool idle;
  };
  Pulse pulse() const noexcept;
  // Called on the loop's stack before it sleeps without a deadline; may make something ready, or stop the
  // loop. Null: nothing.
  void set_before_endless_sleep(void (*hook)(void*), void* argument) noexcept {
    before_endless_sleep_ = hook;
    endless_sleep_argument_ = argument;
  }
  // The clock as of the last poll: cheap, and at most kTimeBetweenPolls old while handles are short.
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
  // Takes out everything that is queued, calling drop(node) for each: for a loop that closes.
  template <class Drop>
  void discard_ready(Drop drop) {
    while (ready_count_ > 0) drop(*pop_ready());
    remaining_ = 0;
  }
  // While it does not run: runs the kInternal nodes that are posted or ready; the others stay queued.
  void settle() noexcept;
  // Any thread: appends the node at the loop's next pass and wakes it. Async-signal-safe.
  void post(Runnable& node) noexcept;
  void wake() noexcept { reactor_->wake(); }
  bool has_posted() const noexcept { return !inbox_.empty(); }
  // Moves what other threads posted to the ready queue.
  void take_posted() noexcept;

  // ---- time
  Nanoseconds now() const noexcept { return clock_.now(); }
  Clock& clock() const noexcept { return clock_; }
  TimerHeap& timers() noexcept { return timers_; }
  Reactor& reactor() noexcept { return *reactor_; }

  // ---- fibers
  // A fiber that will call body(fiber) on its own stack once it is made ready. stack_bytes 0: the default.
  // Its stack is bound when it first runs; if there is none then, body() is called on the loop's stack, for a
  // fiber that is not started(), and must fail with start_failure() at once. Throws std::length_error for an
  // impossible stack size; StackError while stacks are exhausted; std::bad_alloc.
  Fiber& create_fiber(Fiber::Entry body, void* owner, std::size_t stack_bytes, std::uintptr_t user_entry);
  // Frees a fiber that never started.
  void destroy_unstarted(Fiber& fiber) noexcept;
  // Why the last fiber that could not be started has no stack.
  const char* start_failure() const noexcept { return start_failure_; }
  // Suspends the current fiber until somebody makes it ready. The caller says why, by Fiber::set_wait.
  // Not noexcept, nor what it calls: a closing loop throws through the frames that wait here.
  void suspend();
  // Lets every other ready node run first.
  void yield();
  // While the scheduler runs, on its thread: runs a fiber that was not made ready yet until it suspends for
  // the first time or ends; then goes on here, before anything else runs. From a fiber or from a callback.
  void run_now(Fiber& fiber);
  // Resumes a waiting fiber at the next pass.
  void wake_fiber(Fiber& fiber) noexcept {
    if (fiber.state == AIOFIBER_WAITING) fiber.state = AIOFIBER_READY;
    if (tracing()) trace_wake(fiber, current_fiber());
    make_ready(fiber);
  }
  // While the scheduler does not run: unwinds a suspended fiber by ForcedUnwind and frees it. False when
  // its frames cannot be unwound (a noexcept frame, an await in a destructor, code that catches everything
  // and goes on): then it is abandoned, its record freed and its stack kept for good, because objects on it
  // may be referred to. `parked_wait_throws`: of a parked fiber, that it throws in its turn when its wait is
  // cut short (Parker::throws_when_interrupted).
  bool unwind(Fiber& fiber, bool parked_wait_throws = false) noexcept;
  // On a fiber that unwind() unwinds: gives it up, as unwind() says. Does not return.
  [[noreturn]] void abandon_current();
  // Counts how often the fiber was told, by ForcedUnwind or by a wait that returns at once. One that still
  // goes on after that many times does so for ever, as a worker that catches everything and begins anew: it
  // is given up.
  static constexpr std::uint32_t kMostUnwindRequests = 1000;
  void count_unwind_request() {
    if (++unwind_requests_ > kMostUnwindRequests) abandon_current();
  }
  std::size_t fibers_alive() const noexcept { return fibers_alive_; }
  // What another layer keeps for this loop: release() is called on its thread when it is destroyed, while its
  // reactor is still there.
  struct Attachment {
    Attachment* next;
    void (*release)(Attachment&) noexcept;
  };
  void attach(Attachment& attachment) noexcept {
    attachment.next = attachments_;
    attachments_ = &attachment;
  }
  // In a forked child: no scheduler runs on its only thread.
  static void forget_after_fork() noexcept;
  StackPool& stacks() noexcept { return stacks_; }

 private:
  class RunScope;

  // In front of everything that is ready, in this pass.
  void put_first(Runnable& node) noexcept {
    AIOFIBER_ASSERT(!node.queued);
    node.queued = true;
    ready_.push_front(node);
    ++ready_count_;
    ++remaining_;
  }
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
  bool begin_pass_without_polling() noexcept;
  bool poll_is_due() noexcept;
  AIOFIBER_NOINLINE bool clock_says_poll() noexcept;
  void run_pass();
  // The next fiber to run straight from another fiber's stack, or null: the hub has to act first.
  AIOFIBER_NOINLINE Fiber* next_fiber(bool finishing) noexcept;
  void prefetch_following() const noexcept;
  void suspend_here(Fiber& self);
  Nanoseconds cooling_deadline() const noexcept;
  AIOFIBER_NOINLINE bool cool_stacks() noexcept;
  bool prepare(Fiber& fiber) noexcept;
  void resume(Fiber& fiber);
  AIOFIBER_NOINLINE void recycle_finished() noexcept;
  void free_record(Fiber& fiber) noexcept;
  [[noreturn]] static void fiber_main(Fiber& first) noexcept;

  static constinit thread_local Scheduler* current_ __attribute__((tls_model("initial-exec")));

  Clock& clock_;
  std::unique_ptr<Reactor> reactor_;
  Queue<Runnable> ready_;
  std::size_t ready_count_ = 0;
  std::size_t remaining_ = 0;  // nodes of the current pass that have not run
  std::uint32_t handles_since_poll_ = 0;
  std::uint32_t next_clock_read_ = 0;  // when handles_since_poll_ is that far
  Nanoseconds last_poll_ = 0;
  std::uint64_t passes_ = 0;
  bool running_ = false;
  bool stop_requested_ = false;
  bool fibers_begin_passes_ = false;  // while it runs, unless a pass must poll or be the last
  bool polls_every_pass_;
  bool polling_ = false;  // inside the reactor
  void (*before_endless_sleep_)(void*) = nullptr;
  void* endless_sleep_argument_ = nullptr;
  Attachment* attachments_ = nullptr;
  std::uint32_t thread_id_ = 0;
  ExceptionState* exception_state_ = nullptr;  // of the running thread
  Fiber hub_;
  std::uint32_t unwind_requests_ = 0;  // of the fiber that unwind() unwinds
  const char* start_failure_ = nullptr;
  Fiber* finished_ = nullptr;  // off the CPU since the last switch; to be recycled by whoever runs now
  std::exception_ptr exit_exception_;
  TimerHeap timers_;
  Inbox inbox_;
  std::atomic<std::uint32_t> posting_{0};  // threads inside post(): the destructor waits for them
  StackPool stacks_;
  Nanoseconds last_cooling_ = 0;  // when memory of idle stacks was last given back
  bool only_cooled_ = false;      // the last pass woke for that alone
  RecordSlab records_;
  std::size_t fibers_alive_ = 0;
};

}  // namespace aiofiber::runtime
