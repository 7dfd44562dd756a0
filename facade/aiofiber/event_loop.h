// SPDX-License-Identifier: Apache-2.0
//
// EventLoop: runs the tasks and callbacks of one thread.
//
// The class is the program's view of a LoopCore; templates that make futures and tasks are declared here
// and defined in the headers of what they make (future.h, task.h, executor.h), so include asyncio.h.
// Source: asyncio's "Event Loop" page. Threads: the one that runs the loop, unless a function says "any
// thread"; in debug mode misuse is a RuntimeError.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "aiofiber/duration.h"
#include "aiofiber/handle.h"
#include "aiofiber/loop_core.h"

namespace aiofiber {

namespace detail {
class FutureBase;
}
template <class T>
class Future;
template <class T>
class Task;
template <class T>
class Coroutine;
class AnyFuture;
class AnyTask;
class Context;
struct TaskOptions;
class Executor;

class EventLoop {
  runtime::Ref<detail::LoopCore> core_;  // first: slow_callback_duration refers into it

 public:
  EventLoop();
  // Closes it if that was not done: a ResourceWarning "unclosed event loop" is logged then. exit() while a
  // static loop runs leaves it as it is: the process ends with the code that was given.
  virtual ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // ---- running
  // Runs until the awaitable is done and gives its result or throws its exception. RuntimeError: the loop
  // is closed, running, another loop runs in this thread, or it was stopped before the future was done;
  // ValueError: a future of another loop.
  template <class A>
  auto run_until_complete(A&& awaitable);
  // Runs until stop(). RuntimeError as above.
  void run_forever();
  // The current pass is finished; called before run_forever(), that runs one pass.
  void stop() noexcept { core_->scheduler().stop(); }
  // Drops what is scheduled, reports and unwinds pending tasks, so that their destructors run. A task that no
  // exception can leave (it waits in a noexcept function, or in a destructor), and one that catches each and
  // goes on, is reported as abandoned instead: its frames stay in memory. Threads that wait for a
  // run_coroutine_threadsafe() get RuntimeError "Event loop is closed". RuntimeError while running; again, or
  // from a destructor that it runs: no-op. What the exception handler throws to leave the loop is thrown when
  // the loop is closed. Never fails half-way. Differs from asyncio: threads that wait for a coroutine of the
  // loop are told when it closes, where asyncio lets them wait for ever.
  void close();
  bool is_running() const noexcept { return core_->is_running(); }
  bool is_closed() const noexcept { return core_->closed(); }

  // ---- callbacks. Arguments are decay-copied. RuntimeError: closed. TypeError: an empty callable. Each
  // takes options in front: call_soon({.context = context}, fn, args...).
  template <detail::CallbackFunction F, class... Args>
  Handle call_soon(F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_soon(CallbackOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  Handle call_soon(const CallbackOptions& options, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    core_->check_open();
    core_->check_thread();
    auto handle = detail::make_handle_in(*core_, options, std::forward<F>(fn), std::forward<Args>(args)...);
    handle->schedule_soon();
    return Handle(std::move(handle));
  }
  // Any thread. Wakes the loop. The order of each thread's calls is kept.
  // Differs from asyncio: what other threads hand in is taken over at the beginning of a pass, behind what
  // the loop has scheduled until then.
  template <detail::CallbackFunction F, class... Args>
  Handle call_soon_threadsafe(F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_soon_threadsafe(CallbackOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  Handle call_soon_threadsafe(const CallbackOptions& options, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    core_->check_open();
    auto handle = detail::make_handle_in(*core_, options, std::forward<F>(fn), std::forward<Args>(args)...);
    handle->schedule_threadsafe();
    return Handle(std::move(handle));
  }
  // A negative delay is already due, however long ago.
  template <detail::CallbackFunction F, class... Args>
  TimerHandle call_later(Duration delay, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_later(CallbackOptions{}, delay, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  TimerHandle call_later(const CallbackOptions& options, Duration delay, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_at(options, saturating_add(time(), delay), std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <detail::CallbackFunction F, class... Args>
  TimerHandle call_at(TimePoint when, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_at(CallbackOptions{}, when, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  TimerHandle call_at(const CallbackOptions& options, TimePoint when, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    core_->check_open();
    core_->check_thread();
    auto handle = detail::make_handle_in(*core_, options, std::forward<F>(fn), std::forward<Args>(args)...);
    handle->schedule_at(when);
    return TimerHandle(std::move(handle));
  }
  TimePoint time() const noexcept { return TimePoint(std::chrono::nanoseconds(core_->scheduler().now())); }

  // ---- futures and tasks (future.h, task.h)
  template <class T = void>
  Future<T> create_future();
  template <class T>
  Task<T> create_task(Coroutine<T> coroutine);
  template <class T>
  Task<T> create_task(Coroutine<T> coroutine, TaskOptions options);
  template <class F, class... Args>
  auto create_task(F&& fn, Args&&... args);
  template <class F, class... Args>
  auto create_task(TaskOptions options, F&& fn, Args&&... args);
  // Called whenever a task was made by create_task, ensure_future, gather, TaskGroup, run, before it is
  // scheduled; it may name it, count it, start it (eager_task_factory), or throw to refuse it: the task then
  // ends cancelled, without having run.
  // Differs from asyncio: it cannot replace the Task's class, which is fixed.
  using TaskFactory = std::function<void(EventLoop&, AnyTask)>;
  void set_task_factory(TaskFactory factory);
  const TaskFactory& get_task_factory() const noexcept { return task_factory_; }

  // ---- threads (executor.h). nullptr: the default pool, made when first needed.
  template <class F, class... Args>
  auto run_in_executor(Executor* executor, F&& fn, Args&&... args);
  void set_default_executor(std::shared_ptr<Executor> executor);
  // Waits until all threads of the default pool have ended; later use of it is a RuntimeError. (executor.h)
  Coroutine<void> shutdown_default_executor();

  // ---- descriptors. Level-triggered: called once a pass while ready. A second add replaces the first.
  // OSError's counterpart std::system_error (EBADF): not an open descriptor.
  template <class F, class... Args>
  void add_reader(int fd, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    watch_fd(fd, false, detail::make_handle(*core_, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  template <class F, class... Args>
  void add_writer(int fd, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    watch_fd(fd, true, detail::make_handle(*core_, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // Whether something was registered.
  bool remove_reader(int fd) { return unwatch_fd(fd, false); }
  bool remove_writer(int fd) { return unwatch_fd(fd, true); }

  // ---- signals. ValueError: no such signal; RuntimeError: it cannot be caught.
  template <class F, class... Args>
  void add_signal_handler(int signo, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    watch_signal(signo, detail::make_handle(*core_, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  bool remove_signal_handler(int signo);

  // ---- errors
  using ExceptionHandler = std::function<void(EventLoop&, const ExceptionContext&)>;
  // An empty function restores the default handler.
  void set_exception_handler(ExceptionHandler handler) { core_->exception_handler = std::move(handler); }
  ExceptionHandler get_exception_handler() const { return core_->exception_handler; }
  // Calls the handler; what it throws goes to the default handler.
  void call_exception_handler(const ExceptionContext& context) { core_->report(context); }
  // Logs the context at level ERROR in asyncio's form. What an override throws is logged in one line.
  virtual void default_exception_handler(const ExceptionContext& context);

  // In debug mode places of creation are recorded, misuse is checked, the watchdog (debug.h) reports who
  // blocks the loop, and a task that suspends with a mutex or a read-write lock of the C library is reported
  // (aiofiber::hooks). Handles that a waiting task has itself do not count as somebody who could still set
  // its future (README.md, "A future that nobody can set").
  void set_debug(bool enabled) { core_->set_debug(enabled); }
  bool get_debug() const noexcept { return core_->debug_; }
  // In debug mode a callback or a step of a task that takes at least this long is logged.
  Duration& slow_callback_duration;

  detail::LoopCore& core() const noexcept { return *core_; }

 protected:
  // For loops on another clock. The scheduler's clock must outlive every future of the loop.
  explicit EventLoop(std::unique_ptr<runtime::Scheduler> scheduler);

 private:
  friend class Runner;  // runs a task and leaves the outcome in it
  // RuntimeError unless run_forever() could start now.
  void check_can_run() const;
  // The untyped part of run_until_complete(): runs until `future` is done. `made_here`: it is a task that
  // nobody else knows, so it is not reported as pending when it dies.
  void run_until_done(detail::FutureBase& future, bool made_here);
  struct FdHandler;
  struct SignalHandler;
  void watch_fd(int fd, bool writer, runtime::Ref<detail::HandleBase> handle);
  bool unwatch_fd(int fd, bool writer);
  void forget_handlers() noexcept;
  void watch_signal(int signo, runtime::Ref<detail::HandleBase> handle);

  TaskFactory task_factory_;
  // Keyed by fd * 2 + writer, and by the signal's number.
  std::unordered_map<long, std::unique_ptr<FdHandler>> fd_handlers_;
  std::unordered_map<int, std::unique_ptr<SignalHandler>> signal_handlers_;
};

std::string repr(const EventLoop& loop);

// The loop that runs in this thread. RuntimeError "no running event loop".
EventLoop& get_running_loop();
// The running loop, else the thread's set loop; in the main thread one is made if none was ever set.
// RuntimeError "There is no current event loop in thread 'NAME'."
EventLoop& get_event_loop();
// Sets what get_event_loop() gives outside a running loop; nullptr: nothing. The loop is not owned.
void set_event_loop(EventLoop* loop) noexcept;
std::unique_ptr<EventLoop> new_event_loop();

}  // namespace aiofiber
