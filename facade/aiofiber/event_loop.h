// SPDX-License-Identifier: Apache-2.0
//
// EventLoop: runs the tasks and callbacks of one thread.
//
// The class is the public interface of a LoopCore. Templates that make futures and tasks are declared here
// and defined in future.h, task.h and executor.h, so include asyncio.h.
// Source: asyncio's "Event Loop" page. Threads: the one that runs the loop, unless a function says "any
// thread"; in debug mode misuse is a RuntimeError.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
template <class T>
class Coro;
class AnyFuture;
class AnyTask;
class Context;
struct TaskOptions;
class Executor;

class EventLoop {
  runtime::Ref<detail::LoopCore> core_;  // first: slow_callback_duration refers into it

 public:
  EventLoop();
  // Closes the loop if it is open, and logs a ResourceWarning "unclosed event loop". If exit() is called
  // while a static loop runs, the destructor leaves the loop alone: the process ends with the given exit
  // code.
  virtual ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // ---- running
  // Runs until the awaitable is done and gives its result or throws its exception. RuntimeError: the loop is
  // closed, or running, or another loop runs in this thread, or the loop was stopped before the future was
  // done; ValueError: a future of another loop.
  template <class A>
  auto run_until_complete(A&& awaitable);
  // Runs until stop(). RuntimeError as for run_until_complete().
  void run_forever();
  // The loop ends after the current pass. If stop() is called before run_forever(), run_forever() runs one
  // pass.
  void stop() noexcept { core_->scheduler().stop(); }
  // Drops scheduled callbacks, then reports and unwinds pending tasks, so that their destructors run. A task
  // that cannot be unwound is reported as abandoned, and its frames stay in memory: it waits in a noexcept
  // function or a destructor, or catches every exception and goes on. Threads that wait for a
  // run_coroutine_threadsafe() get RuntimeError "Event loop is closed". RuntimeError while the loop runs. A
  // second call does nothing, also from a destructor that close() runs. If the exception handler throws to
  // leave the loop, that exception is thrown when the loop is closed. Never fails half-way.
  // Differs from asyncio: a thread that waits for a coroutine of the loop gets an error when the loop closes;
  // in asyncio it waits for ever.
  void close();
  bool is_running() const noexcept { return core_->is_running(); }
  bool is_closed() const noexcept { return core_->closed(); }

  // ---- callbacks. Arguments are decay-copied. RuntimeError: closed. TypeError: an empty callable. Each
  // function takes options as an optional first argument: call_soon({.context = context}, fn, args...).
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
  // Differs from asyncio: the loop takes callbacks of other threads at the beginning of a pass and puts them
  // behind its own ready callbacks.
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
  // A negative delay is due at once.
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
  template <class T>
  Task<T> create_task(Coro<T> coroutine);
  template <class T>
  Task<T> create_task(Coro<T> coroutine, TaskOptions options);
  template <class F, class... Args>
  auto create_task(F&& fn, Args&&... args);
  template <class F, class... Args>
  auto create_task(TaskOptions options, F&& fn, Args&&... args);
  // Called whenever create_task, ensure_future, gather, TaskGroup or run has made a task, before the task is
  // scheduled. The factory may name the task, count it, start it (eager_task_factory), or throw to refuse it.
  // A refused task ends cancelled and does not run.
  // Differs from asyncio: it cannot replace the Task's class, which is fixed.
  using TaskFactory = std::function<void(EventLoop&, AnyTask)>;
  void set_task_factory(TaskFactory factory);
  const TaskFactory& get_task_factory() const noexcept { return task_factory_; }

  // ---- threads (executor.h). nullptr: the default pool, made on first use.
  template <class F, class... Args>
  auto run_in_executor(Executor* executor, F&& fn, Args&&... args);
  void set_default_executor(std::shared_ptr<Executor> executor);
  // Waits until all threads of the default pool have ended. Using the pool later is a RuntimeError.
  // (executor.h)
  Coroutine<void> shutdown_default_executor();

  // Closes all asynchronous generators (async_generator.h) that have begun and not finished, at the same
  // time. Errors of their code go to the exception handler. run() awaits it before the loop closes.
  Coro<void> shutdown_asyncgens();

  // ---- descriptors. Level-triggered: called once a pass while ready. A second add replaces the first.
  // std::system_error EBADF (Python's OSError): not an open descriptor.
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
  // True if a reader was registered.
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
  // Calls the handler; an exception of the handler goes to the default handler.
  void call_exception_handler(const ExceptionContext& context) { core_->report(context); }
  // Logs the context at level ERROR in asyncio's form. An exception thrown by an override is logged in one
  // line.
  virtual void default_exception_handler(const ExceptionContext& context);

  // In debug mode places of creation are recorded and misuse is checked. The watchdog (debug.h) reports tasks
  // and callbacks that block the loop. A task that suspends while it holds a mutex or a read-write lock of
  // the C library is reported (aiofiber::hooks), and so is a descriptor that one task closes while another
  // uses it. A waiting task's own handles do not count as handles that
  // could still set its future (README.md, "A future that nobody can set").
  void set_debug(bool enabled) { core_->set_debug(enabled); }
  bool get_debug() const noexcept { return core_->debug_; }
  // In debug mode a callback or a step of a task that takes at least this long is logged.
  Duration& slow_callback_duration;

  detail::LoopCore& core() const noexcept { return *core_; }

 protected:
  // For loops on another clock. The scheduler's clock must outlive every future of the loop.
  explicit EventLoop(std::unique_ptr<runtime::Scheduler> scheduler);

 private:
  friend class Runner;  // runs a task and leaves the outcome in the task
  // RuntimeError unless run_forever() could start now.
  void check_can_run() const;
  // The untyped part of run_until_complete(): runs until `future` is done. `made_here`: the program has no
  // handle to this task, so it is not reported as pending when it is destroyed.
  void run_until_done(detail::FutureBase& future, bool made_here);
  struct FdHandler;
  struct SignalHandler;
  struct Handlers;
  void watch_fd(int fd, bool writer, runtime::Ref<detail::HandleBase> handle);
  bool unwatch_fd(int fd, bool writer);
  void forget_handlers() noexcept;
  void watch_signal(int signo, runtime::Ref<detail::HandleBase> handle);

  TaskFactory task_factory_;
  std::unique_ptr<Handlers> handlers_;  // of descriptors and signals
};

std::string repr(const EventLoop& loop);

// The loop that runs in this thread. RuntimeError "no running event loop".
EventLoop& get_running_loop();
// The running loop, else the loop that was set for the thread. In the main thread a loop is made if none was
// ever set.
// RuntimeError "There is no current event loop in thread 'NAME'."
EventLoop& get_event_loop();
// Sets the result of get_event_loop() outside a running loop; nullptr: none. The loop is not owned.
void set_event_loop(EventLoop* loop) noexcept;
std::unique_ptr<EventLoop> new_event_loop();

}  // namespace aiofiber
