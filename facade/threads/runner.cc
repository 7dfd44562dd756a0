// SPDX-License-Identifier: Apache-2.0
//
// The life of a Runner's loop, and SIGINT.
#include "aiofiber/runner.h"

#include <absl/cleanup/cleanup.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/cancel_walk.h"
#include "aiofiber/coro.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/executor.h"
#include "aiofiber/log.h"
#include "core/uncaught_interrupt.h"
#include "threads/ignored_cancellation.h"

namespace aiofiber {

namespace {

// How long close() waits for the default executor, in real time, as asyncio does.
constexpr std::chrono::seconds kExecutorPatience{300};

bool same_handler(const struct sigaction& a, const struct sigaction& b) noexcept {
  return a.sa_flags == b.sa_flags &&
         ((a.sa_flags & SA_SIGINFO) != 0 ? a.sa_sigaction == b.sa_sigaction : a.sa_handler == b.sa_handler);
}

}  // namespace

namespace detail {

// While this object lives, the loop handles SIGINT, unless the program has a handler. The first SIGINT
// cancels the main task, any other leaves the loop. The loop is also left when the main task waits only for
// tasks that ignore their cancellation.
class Interruption {
 public:
  explicit Interruption(EventLoop& loop) : loop_(loop) {
    struct sigaction before {};
    if (::gettid() != ::getpid() || ::sigaction(SIGINT, nullptr, &before) != 0) return;
    if ((before.sa_flags & SA_SIGINFO) != 0 || before.sa_handler != SIG_DFL) return;  // the program's own
    loop_.add_signal_handler(SIGINT, [this] { raised(); });
    ::sigaction(SIGINT, nullptr, &ours_);
    installed_ = true;
    detail::end_by_signal_if_interrupted();
  }
  ~Interruption() {
    if (!installed_) return;
    struct sigaction now {};
    ::sigaction(SIGINT, nullptr, &now);
    loop_.remove_signal_handler(SIGINT);
    if (!same_handler(now, ours_)) ::sigaction(SIGINT, &now, nullptr);  // the program replaced it meanwhile
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // The task that the next SIGINT cancels. With an empty handle, SIGINT leaves the loop.
  void set_main(const AnyTask& main) {
    main_ = main;
    count_ = 0;
    ignored_.reset();
  }
  // The number of signals since set_main().
  int count() const noexcept { return count_; }

 private:
  void raised() {
    if (++count_ > 1 || !main_.valid() || main_.done()) throw KeyboardInterrupt();
    main_.cancel();
    ignored_.emplace(loop_.core(), IgnoredCancellations::Among::kCancelled, [this] {
      loop_.core().scheduler().exit_with(std::make_exception_ptr(KeyboardInterrupt()));
    });
  }

  EventLoop& loop_;
  struct sigaction ours_ {};
  AnyTask main_;
  int count_ = 0;
  bool installed_ = false;
  std::optional<IgnoredCancellations> ignored_;  // after the first SIGINT
};

}  // namespace detail

Runner::Runner(RunOptions options) : options_(std::move(options)) {}

Runner::~Runner() {
  if (loop_ != nullptr && loop_->is_running() && detail::process_ends()) {
    static_cast<void>(interruption_.release());
    static_cast<void>(loop_.release());
    return;
  }
  close_after_error();
}

void Runner::close_after_error() noexcept {
  try {
    close();
  } catch (...) {
    try {
      detail::log(LogLevel::ERROR,
                  "exception while closing a Runner\n" + format_exception(std::current_exception()));
    } catch (const std::bad_alloc&) {
      detail::log(LogLevel::ERROR, "exception while closing a Runner");
    }
  }
}

void Runner::check_outside_loop(const char* function) {
  if (runtime::Scheduler::current() != nullptr) {
    throw RuntimeError(std::string(function) + " cannot be called from a running event loop");
  }
}

EventLoop& Runner::get_loop() {
  if (phase_ == Phase::kClosed) throw RuntimeError("Runner is closed");
  if (phase_ == Phase::kInitialized) return *loop_;
  context_ = copy_context();
  if (options_.loop_factory) {
    loop_ = options_.loop_factory();
  } else {
    loop_ = new_event_loop();
    set_event_loop(loop_.get());
    set_event_loop_ = true;
  }
  if (options_.debug) loop_->set_debug(*options_.debug);
  phase_ = Phase::kInitialized;
  return *loop_;
}

void Runner::watch_interrupts() {
  if (interruption_ == nullptr) interruption_ = std::make_unique<detail::Interruption>(*loop_);
}

void Runner::run_main(const AnyTask& task) {
  const AnyTask& main = task;
  watch_interrupts();
  const absl::Cleanup unwatch = [this] {
    interruption_->set_main({});
    if (!runs_once_) interruption_.reset();
  };
  interruption_->set_main(main);
  loop_->run_until_done(main.state(), false);  // the outcome stays in the task, for the caller
  if (main.cancelled() && interruption_->count() > 0 && main.uncancel() == 0) throw KeyboardInterrupt();
}

void Runner::cancel_all_tasks() {
  std::vector<AnyTask> tasks = all_tasks(loop_.get());
  if (tasks.empty()) return;
  auto all_done = loop_->create_future<void>();
  // Shared, because an interruption leaves the callbacks behind.
  const auto left = std::make_shared<std::size_t>(tasks.size());
  {
    detail::CancelMany cancel;
    for (const AnyTask& task : tasks) cancel.request(task.state());
  }
  for (AnyTask& task : tasks) {
    task.add_done_callback([left, all_done](const AnyFuture&) {
      if (--*left == 0 && !all_done.done()) all_done.set_result();
    });
  }
  {
    // asyncio would wait for ever for those that ignore it.
    const detail::IgnoredCancellations ignored(loop_->core(), detail::IgnoredCancellations::Among::kAll, [&] {
      if (!all_done.done()) all_done.set_result();
    });
    loop_->run_until_complete(all_done);
  }
  for (const AnyTask& task : tasks) {
    if (task.cancelled() || !task.done()) continue;
    if (const std::exception_ptr exception = task.exception()) {
      ExceptionContext context;
      context.message = "unhandled exception during asyncio.run() shutdown";
      context.exception = exception;
      context.task = task;
      loop_->call_exception_handler(context);
    }
  }
}

void Runner::close() {
  if (phase_ != Phase::kInitialized) return;
  if (loop_->is_running()) throw RuntimeError("Runner.close() cannot be called from a running event loop");
  struct CloseLoop {
    Runner& runner;
    ~CloseLoop() noexcept(false) {
      runner.interruption_.reset();
      if (runner.set_event_loop_) set_event_loop(nullptr);
      runner.phase_ = Phase::kClosed;
      const std::unique_ptr<EventLoop> loop = std::move(runner.loop_);
      try {
        if (!loop->is_closed()) loop->close();
      } catch (...) {
        if (std::uncaught_exceptions() == 0) throw;  // otherwise the first error is reported
      }
    }
  } const close_loop{*this};
  if (loop_->is_closed()) return;  // by the program
  watch_interrupts();
  cancel_all_tasks();
  if (!loop_->core().async_generators.empty()) loop_->run_until_complete(loop_->shutdown_asyncgens());
  if (loop_->core().default_executor != nullptr) {
    loop_->run_until_complete(shutdown_default_executor(*loop_, kExecutorPatience));
  }
}

}  // namespace aiofiber
