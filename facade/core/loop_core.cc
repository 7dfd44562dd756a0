// SPDX-License-Identifier: Apache-2.0
//
// Running, reporting and closing a loop.
//
// Closing empties the queues before the tasks are unwound, because a queued fiber cannot be unwound. It
// empties them again after it, because destructors of the program may schedule something. Nothing stops it
// half-way: a report without memory is left out, and an exception of the exception handler is thrown at the
// end of close(). A forked child changes nothing of the parent's loop: the loop is marked closed and kept in
// memory.
#include "aiofiber/loop_core.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>

#include <cstdlib>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/decimals.h"
#include "aiofiber/runtime/inspect/descriptor_use.h"
#include "aiofiber/runtime/inspect/held_locks.h"
#include "aiofiber/runtime/inspect/watchdog.h"
#include "aiofiber/source_trace.h"
#include "aiofiber/thread_gate.h"

namespace aiofiber::detail {

namespace {

constinit thread_local LoopCore* running_loop = nullptr;

constinit std::atomic<std::size_t> loops_alive{0};

// exit() destroys its thread's objects first, then static objects and atexit() functions in reverse order.
// The first flag therefore comes in time for any loop of this thread. The second comes in time for loops of
// other threads that were made before any loop first ran.
constinit thread_local bool thread_ends = false;
constinit std::atomic<bool> exit_has_begun{false};

struct EndOfThread {
  ~EndOfThread() { thread_ends = true; }
};

void watch_for_exit() noexcept {
  static thread_local const EndOfThread end;
  static_cast<void>(end);
  static const int registered = std::atexit([] { exit_has_begun.store(true, std::memory_order_relaxed); });
  static_cast<void>(registered);
}

}  // namespace

bool process_ends() noexcept { return thread_ends || exit_has_begun.load(std::memory_order_relaxed); }

std::size_t LoopCore::alive() noexcept { return loops_alive.load(std::memory_order_relaxed); }

LoopCore::LoopCore(std::unique_ptr<runtime::Scheduler> scheduler, EventLoop& facade)
    : facade_object(&facade), fork_generation_(runtime::fork_generation()), scheduler_(std::move(scheduler)) {
  loops_alive.fetch_add(1, std::memory_order_relaxed);
  // Virtual time ends with runtime::Deadlock instead.
  if (scheduler_->clock().polls_every_pass()) return;
  scheduler_->set_before_endless_sleep([](void* loop) { report_deadlock(*static_cast<LoopCore*>(loop)); },
                                       this);
}

LoopCore::~LoopCore() {
  loops_alive.fetch_sub(1, std::memory_order_relaxed);
  if (debug_) {
    loops_in_debug_mode.fetch_sub(1, std::memory_order_relaxed);
    runtime::held_locks::stop();
    runtime::descriptor_use::stop();
  }
  if (from_parent_process()) {
    static_cast<void>(scheduler_.release());  // its queues and its epoll set are the parent's
    return;
  }
  drop_scheduled();  // posted by other threads after the loop was closed
}

bool LoopCore::from_parent_process() const noexcept { return fork_generation_ != runtime::fork_generation(); }

EventLoop& LoopCore::facade() const {
  if (facade_object == nullptr) throw RuntimeError("the event loop of this object was destroyed");
  return *facade_object;
}

void LoopCore::throw_closed() { throw RuntimeError("Event loop is closed"); }

// ---- running ----------------------------------------------------------------------------------------------

LoopCore* LoopCore::running() noexcept {
  LoopCore* const loop = running_loop;
  return loop != nullptr && loop->is_running() ? loop : nullptr;
}

bool LoopCore::is_running() const noexcept { return scheduler_->running() && !from_parent_process(); }

void LoopCore::check_thread() const {
  if (!debug_ || !is_running() || runtime::Scheduler::current() == scheduler_.get()) return;
  throw RuntimeError("Non-thread-safe operation invoked on an event loop other than the current one");
}

void LoopCore::check_runnable() const {
  check_open();
  if (closing_) throw_closed();
  if (from_parent_process()) {
    throw RuntimeError("This event loop belongs to the parent process: make a new one after fork()");
  }
  if (is_running()) throw RuntimeError("This event loop is already running");
  if (runtime::Scheduler::current() != nullptr) {
    throw RuntimeError("Cannot run the event loop while another loop is running");
  }
}

template <class Run>
auto LoopCore::run_by(Run run) {
  check_runnable();
  const runtime::Ref<LoopCore> self(this);
  running_loop = this;
  const absl::Cleanup leave = [&self] {
    self->end_watch();
    running_loop = nullptr;
  };
  watch_for_exit();
  debug_since_ns_ = 0;
  if (debug_ || watchdog_limit) watch_now();
  return run();
}

void LoopCore::run() {
  run_by([this] { scheduler_->run(); });
}

bool LoopCore::run_once(std::int64_t deadline_ns) {
  return run_by([this, deadline_ns] { return scheduler_->run_once(deadline_ns); });
}

// ---- the watchdog -----------------------------------------------------------------------------------------

void LoopCore::set_debug(bool enabled) {
  if (enabled != debug_) loops_in_debug_mode.fetch_add(enabled ? 1u : ~0u, std::memory_order_relaxed);
  if (enabled && !debug_) {
    const auto report = [](const std::string& text) noexcept { log(LogLevel::WARNING, text); };
    runtime::held_locks::start(report);
    runtime::descriptor_use::start(report);
  }
  if (!enabled && debug_) {
    runtime::held_locks::stop();
    runtime::descriptor_use::stop();
  }
  if (enabled && !debug_) debug_since_ns_ = is_running() ? scheduler_->cpu_time() : 0;
  if (!enabled) scheduler_->step_observer = nullptr;  // a task's first step in debug mode sets it
  debug_ = enabled;
  update_watchdog();
}

void LoopCore::update_watchdog() {
  end_watch();
  if ((debug_ || watchdog_limit) && is_running()) watch_now();
}

void LoopCore::watch_now() {
  // Virtual time does not show which task is slow.
  if (!watchdog_limit && scheduler_->clock().polls_every_pass()) return;
  const Duration limit = watchdog_limit.value_or(slow_callback_duration);
  runtime::watchdog::watch(*scheduler_, limit.nanoseconds(),
                           [](const std::string& text) noexcept { log(LogLevel::WARNING, text); });
  watched_ = true;
}

void LoopCore::end_watch() noexcept {
  if (std::exchange(watched_, false)) runtime::watchdog::unwatch(*scheduler_);
}

// ---- reporting --------------------------------------------------------------------------------------------

void LoopCore::report(const ExceptionContext& context) {
  if (!exception_handler || facade_object == nullptr) {
    report_to_default_handler(context);
    return;
  }
  std::exception_ptr failure;
  try {
    const auto handler = exception_handler;  // it may replace itself
    handler(*facade_object, context);
    return;
  } catch (...) {
    failure = std::current_exception();
  }
  if (leaves_the_loop(failure)) std::rethrow_exception(failure);
  ExceptionContext second;
  second.message = "Unhandled error in exception handler";
  second.exception = std::move(failure);
  second.extra.emplace_back("context", repr(context));
  report_to_default_handler(second);
}

void LoopCore::report_to_default_handler(const ExceptionContext& context) {
  std::exception_ptr failure;
  try {
    if (facade_object != nullptr) {
      facade_object->default_exception_handler(context);
    } else {
      log(LogLevel::ERROR, describe(context));
    }
    return;
  } catch (...) {
    failure = std::current_exception();
  }
  if (leaves_the_loop(failure)) std::rethrow_exception(failure);
  log(LogLevel::ERROR, "Exception in default exception handler");
}

void LoopCore::report_slow(const std::string& what, std::int64_t duration_ns) {
  log(LogLevel::WARNING,
      absl::StrCat("Executing ", what, " took ", runtime::decimals(static_cast<double>(duration_ns) / 1e9, 3),
                   " seconds"));
}

// ---- closing ----------------------------------------------------------------------------------------------

void LoopCore::drop_scheduled() noexcept {
  const auto drop = [](runtime::Runnable& node) {
    if (node.kind == runtime::Runnable::Kind::kCallback) {
      static_cast<CallbackNode&>(node).drop();
    } else if (node.kind == runtime::Runnable::Kind::kInternal) {
      node.run(node);
    }
  };
  do {
    scheduler_->take_posted();
    scheduler_->discard_ready(drop);
    while (runtime::Timer* timer = scheduler_->timers().pop_due(runtime::kForever)) {
      // The deadline of a suspended fiber must not expire now: the fiber is about to be unwound.
      if (timer->kind == runtime::Runnable::Kind::kCallback) drop(*timer);
    }
  } while (scheduler_->ready_count() > 0);
}

void LoopCore::close() {
  const runtime::Ref<LoopCore> self(this);
  std::exception_ptr failure;
  while (async_generators.front() != nullptr) async_generators.front()->unlink();
  const bool ours = !from_parent_process();
  if (ours) {
    if (thread_gate != nullptr) thread_gate->shut();
    // Repeated after each task: its destructors may release what another task waits for.
    do {
      drop_scheduled();
    } while (close_next_task(*this, failure));
    default_executor.reset();
  }
  closed_.exchange(true, std::memory_order_acq_rel);
  if (ours) {
    drop_scheduled();  // posted by threads before they could see the closing: see closed_after_post()
    // The gate closes last, when no task needs it: a thread that waits there may destroy objects to which
    // tasks referred.
    if (thread_gate != nullptr) thread_gate->close();
    c_handles.reset();
  }
  if (failure != nullptr) std::rethrow_exception(failure);
}

}  // namespace aiofiber::detail
