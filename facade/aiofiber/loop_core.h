// SPDX-License-Identifier: Apache-2.0
//
// LoopCore: the shared state of an event loop.
//
// Futures and tasks outlive the program's EventLoop object, so they refer to this counted core: the
// scheduler, the list of pending tasks (which it owns), the exception handler and the flags.
// Not for users: EventLoop is the public interface.
// Threads: the loop's, unless stated otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/callback_table.h"
#include "aiofiber/duration.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber {

class EventLoop;
class Executor;
struct ExceptionContext;

namespace detail {

class CHandles;
class FutureBase;
class HandleBase;
class TaskCore;
class ThreadGate;

// A node of the ready queue that runs user code on the loop's stack. A closing loop may drop it.
struct CallbackNode : runtime::Timer {
  explicit CallbackNode(Run run_function) noexcept : Timer(Kind::kCallback, run_function) {}
  // Drops the callback without running it: the loop closes.
  virtual void drop() noexcept = 0;
  // For debuggers, on a node that waits for a future: appends the futures and tasks for which it waits.
  virtual void add_awaiting(std::vector<FutureBase*>&) const {}

 protected:
  ~CallbackNode() = default;
};

// Something that is open at most as long as the loop: a connection, a server.
struct OpenObject : runtime::ListNode {
  // The loop closes: the object closes what it owns, and calls no code of the program. It has left the list.
  virtual void loop_closes() noexcept = 0;

 protected:
  ~OpenObject() = default;
};

class LoopCore {
 public:
  explicit LoopCore(std::unique_ptr<runtime::Scheduler> scheduler, EventLoop& facade);

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

  // How many handles, futures, tasks and so on refer to it.
  std::size_t references() const noexcept { return references_; }

  runtime::Scheduler& scheduler() noexcept { return *scheduler_; }
  // The number of loops of the process that exist: open, or referred to by a future or task. Any thread.
  static std::size_t alive() noexcept;
  // The program's EventLoop. RuntimeError once that object is destroyed.
  EventLoop& facade() const;
  // Any thread.
  bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  // The same for a thread that has posted something. False: the closing loop will see the post. Both sides
  // write closed_ (this one rewrites the current value). Everything before the first of the two writes is
  // visible after the second.
  bool closed_after_post() noexcept {
    bool open = false;
    return !closed_.compare_exchange_strong(open, false, std::memory_order_acq_rel);
  }
  // RuntimeError "Event loop is closed".
  void check_open() const {
    if (closed()) throw_closed();
  }
  // RuntimeError with asyncio's message: closed, running already, or another loop runs in this thread; or a
  // forked child uses its parent's loop.
  void check_runnable() const;
  // Runs passes until stop(); throws an exception that leaves the loop.
  void run();
  // Runs one pass: Scheduler::run_once().
  bool run_once(std::int64_t deadline_ns);
  // False in a forked child, whatever the parent did.
  bool is_running() const noexcept;
  // The loop that runs on this thread, or null.
  static LoopCore* running() noexcept;
  // In debug mode: RuntimeError if the caller is not the thread that runs the loop.
  void check_thread() const;
  bool debug() const noexcept { return debug_; }
  // When debug mode was last switched on in this run, in the thread's CPU time: what a task noted before is
  // out of date.
  std::int64_t debug_since_ns() const noexcept { return debug_since_ns_; }

  // Calls the program's handler, or the default one. Throws only exceptions that leave the loop.
  void report(const ExceptionContext& context);
  void report_slow(const std::string& what, std::int64_t duration_ns);

  // ---- owned state, each with the file that writes it
  // Referred to by the scheduler, for example a clock; destroyed last (testing.cc).
  std::shared_ptr<const void> keep_alive;
  EventLoop* facade_object;       // null once the EventLoop is destroyed (event_loop.cc)
  runtime::List<TaskCore> tasks;  // pending ones, oldest first; each holds a reference for the loop (task.cc)
  runtime::List<OpenObject> open_objects;  // in the order in which they were opened (event_loop.cc)
  // Asynchronous generators that have begun and not finished (async_generator.cc).
  runtime::List<runtime::ListNode> async_generators;
  HandleBase* running_handle = nullptr;  // the callback that runs now (handle.cc)
  std::function<void(EventLoop&, const ExceptionContext&)> exception_handler;  // event_loop.cc
  Duration slow_callback_duration = std::chrono::milliseconds(100);
  std::shared_ptr<Executor> default_executor;  // executor.cc
  bool executor_was_shut_down = false;
  // What the handles of <aiofiber.h> stand for; made when first needed, dropped by close() (c/handles.cc).
  std::shared_ptr<CHandles> c_handles;
  std::shared_ptr<ThreadGate> thread_gate;  // made when first needed; close() closes it (thread_gate.cc)
  // Those that may wake the loop, without the SIGINT of asyncio.run() (event_loop.cc).
  std::size_t signal_handlers = 0;
  std::uint64_t reported_deadlock = 0;  // the deadlock that was reported last (deadlock.cc)
  std::int64_t debug_since_ns_ = 0;
  // How long a task or callback may keep the loop before the watchdog reports it. Absent: only in debug mode,
  // with slow_callback_duration. Call update_watchdog() after a change. (debug.cc)
  std::optional<Duration> watchdog_limit;
  CallbackTable callbacks;  // done-callbacks of pending futures (future_base.cc)

  void set_debug(bool enabled);
  // Starts or ends the watchdog's watch as flags and limit say; only a running loop is watched.
  // std::system_error: no thread.
  void update_watchdog();

  // Reserves the closing for the caller; false: the loop is closed, or is being closed.
  bool begin_close() noexcept { return !closed() && !std::exchange(closing_, true); }
  bool closing() const noexcept { return closing_ && !closed(); }
  // Unwinds the pending tasks and drops scheduled callbacks. An exception of the program's handler that
  // leaves the loop is thrown at the end. Precondition: not running, and begin_close().
  void close();
  // Drops ready, timed and posted callbacks without running them.
  void drop_scheduled() noexcept;

 private:
  ~LoopCore();
  [[noreturn]] static void throw_closed();
  bool from_parent_process() const noexcept;
  void report_to_default_handler(const ExceptionContext& context);
  template <class Run>
  auto run_by(Run run);
  void watch_now();
  void end_watch() noexcept;

  std::uint32_t references_ = 0;
  std::uint32_t fork_generation_;
  bool watched_ = false;
  bool closing_ = false;
  // What threads read when they post, away from what the loop writes all the time.
  alignas(runtime::kCacheLineBytes) std::unique_ptr<runtime::Scheduler> scheduler_;
  std::atomic<bool> closed_{false};
  bool debug_ = false;

  friend class aiofiber::EventLoop;
};

// Whether exit() has begun. Objects are then destroyed while loops run, and those loops never continue.
bool process_ends() noexcept;

// Reports and unwinds the youngest of the pending tasks, whose fibers must not be queued; false when none is
// left. An exception of the report goes to `failure`, if that is empty (task.cc).
bool close_next_task(LoopCore& loop, std::exception_ptr& failure) noexcept;

// Called before the loop sleeps without a deadline. Logs a WARNING if nothing can ever wake it: the waiting
// tasks, what each waits for, and any ring of waiting tasks. Reports each deadlock once (deadlock.cc).
void report_deadlock(LoopCore& loop) noexcept;

}  // namespace detail
}  // namespace aiofiber
