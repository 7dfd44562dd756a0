// SPDX-License-Identifier: Apache-2.0
//
// EventLoop's own members: construction and closing, descriptors, signals, and the loop of this thread.
//
// Each descriptor or signal has one persistent handle. An event queues it, unless it is in the queue already.
// Replacing or removing it cancels the handle, so a queued call does not run.
#include "aiofiber/event_loop.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <map>
#include <new>
#include <system_error>

#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "core/text.h"

namespace aiofiber {

namespace {

// The loop of set_event_loop(). `ever_set`: it was called, even with nullptr.
struct ThreadLoop {
  EventLoop* loop = nullptr;
  bool ever_set = false;
};
constinit thread_local ThreadLoop thread_loop;

// libev allows a signal in one loop only. The owner is only compared, never dereferenced.
constinit std::array<std::atomic<const EventLoop*>, NSIG> signal_owners{};

bool debug_by_environment() noexcept {
  const char* value = ::secure_getenv("AIOFIBERDEBUG");
  return value != nullptr && *value != '\0';
}

bool in_main_thread() noexcept { return ::gettid() == ::getpid(); }

const char* python_bool(bool value) noexcept { return value ? "True" : "False"; }

}  // namespace

// ---- construction and closing -----------------------------------------------------------------------------

struct EventLoop::FdHandler : runtime::FdWaiter {
  FdHandler(EventLoop& event_loop, int descriptor, unsigned events,
            runtime::Ref<detail::HandleBase> callback) noexcept
      : FdWaiter(descriptor, events, on_ready), loop(event_loop), handle(std::move(callback)) {}
  ~FdHandler() {
    loop.core_->scheduler().reactor().remove(*this);
    handle->cancel();
  }
  FdHandler(const FdHandler&) = delete;
  FdHandler& operator=(const FdHandler&) = delete;

  static void on_ready(FdWaiter& waiter, unsigned events) noexcept {
    // As with epoll, a closed descriptor is not reported. A descriptor that the kernel refuses to watch is.
    if ((events & runtime::kClosed) == 0) {
      static_cast<FdHandler&>(waiter).handle->schedule_again();
    } else if (waiter.failure != EBADF) {
      try {
        detail::log(LogLevel::ERROR, absl::StrCat("file descriptor ", waiter.fd,
                                                  " cannot be watched, its callback will not be called: ",
                                                  std::generic_category().message(waiter.failure)));
      } catch (const std::bad_alloc&) {
        // No memory for the report.
      }
    }
  }

  EventLoop& loop;
  runtime::Ref<detail::HandleBase> handle;
};

struct EventLoop::SignalHandler : runtime::SignalWaiter {
  SignalHandler(EventLoop& event_loop, int number, runtime::Ref<detail::HandleBase> callback) noexcept
      : loop(event_loop), handle(std::move(callback)) {
    signo = number;
    raised = on_raised;
  }
  ~SignalHandler() {
    if (claimed) {
      loop.core_->scheduler().reactor().unwatch_signal(*this);
      signal_owners[static_cast<std::size_t>(signo)].store(nullptr);
      if (signo != SIGINT) --loop.core_->signal_handlers;
    }
    handle->cancel();
  }
  SignalHandler(const SignalHandler&) = delete;
  SignalHandler& operator=(const SignalHandler&) = delete;

  // Reserves the signal for this loop. False: another loop has it.
  bool claim() noexcept {
    const EventLoop* owner = nullptr;
    claimed = signal_owners[static_cast<std::size_t>(signo)].compare_exchange_strong(owner, &loop);
    if (claimed && signo != SIGINT) ++loop.core_->signal_handlers;
    return claimed;
  }

  static void on_raised(SignalWaiter& waiter) noexcept {
    static_cast<SignalHandler&>(waiter).handle->schedule_again();
  }

  EventLoop& loop;
  runtime::Ref<detail::HandleBase> handle;
  bool claimed = false;
};

// In order, so that a closing loop destroys the callbacks in the same order in every run.
struct EventLoop::Handlers {
  std::map<long, std::unique_ptr<FdHandler>> of_fds;  // by fd * 2 + writer
  std::map<int, std::unique_ptr<SignalHandler>> of_signals;
};

EventLoop::EventLoop() : EventLoop(runtime::make_scheduler()) {}

EventLoop::EventLoop(std::unique_ptr<runtime::Scheduler> scheduler)
    : core_(new detail::LoopCore(std::move(scheduler), *this)),
      slow_callback_duration(core_->slow_callback_duration),
      handlers_(std::make_unique<Handlers>()) {
  if (debug_by_environment()) core_->set_debug(true);
}

EventLoop::~EventLoop() {
  if (core_->closing() || (is_running() && !detail::process_ends())) {
    detail::log(LogLevel::CRITICAL, is_running()
                                        ? "an event loop was destroyed while it runs"
                                        : "an event loop was destroyed by what its close() destroys");
    std::terminate();
  }
  if (is_running()) {
    // exit() was called in one of its tasks, or on another thread. The loop's stack refers to the core, so
    // the core stays. Registrations at its reactor stay too, because the other thread may be using them. A
    // pointer keeps them reachable, so that no leak is reported.
    static constinit std::atomic<void*> kept{nullptr};
    kept = handlers_.release();
  } else if (!is_closed()) {
    try {
      detail::log(LogLevel::WARNING, "ResourceWarning: unclosed event loop " + repr(*this));
    } catch (const std::bad_alloc&) {
      detail::log(LogLevel::WARNING, "ResourceWarning: unclosed event loop");
    }
    try {
      close();
    } catch (...) {
      // An exception of an exception handler cannot leave a destructor; the loop is closed all the same.
      detail::log(LogLevel::ERROR, "the exception handler of a closing event loop threw");
    }
  }
  core_->facade_object = nullptr;
  if (thread_loop.loop == this) thread_loop.loop = nullptr;
}

void EventLoop::check_can_run() const { core_->check_runnable(); }

void EventLoop::run_forever() { core_->run(); }

void EventLoop::run_until_done(detail::FutureBase& future, bool made_here) {
  const AnyFuture awaited{runtime::Ref<detail::FutureBase>(&future)};
  if (made_here) future.quiet_when_destroyed = true;
  const CallbackId id = awaited.add_done_callback([this](const AnyFuture& done) {
    const detail::FutureBase& state = done.state();
    // That exception has left the loop already; stop() would end the next run too soon.
    if (!state.failed() || !detail::leaves_the_loop(state.peek_exception())) stop();
  });
  try {
    run_forever();
  } catch (...) {
    if (made_here) future.mark_retrieved();  // the caller gets the error from here
    future.remove_callback(static_cast<std::uint64_t>(id));
    throw;
  }
  future.remove_callback(static_cast<std::uint64_t>(id));
  if (!future.done()) throw RuntimeError("Event loop stopped before Future completed.");
}

void EventLoop::set_task_factory(TaskFactory factory) { task_factory_ = std::move(factory); }

void EventLoop::close() {
  if (is_running()) throw RuntimeError("Cannot close a running event loop");
  if (!core_->begin_close()) return;
  // Destructors of the program run meanwhile and may register something: so this runs again after the tasks.
  const absl::Cleanup at_the_end = [this] { forget_handlers(); };
  forget_handlers();
  core_->close();
}

// One by one: the destructor of a callback's object may remove other callbacks, so the tables must be
// consistent.
void EventLoop::forget_handlers() noexcept {
  const auto forget = [](auto& handlers) {
    while (!handlers.empty()) handlers.extract(handlers.begin());
  };
  forget(handlers_->of_fds);
  forget(handlers_->of_signals);
  while (detail::OpenObject* const object = core_->open_objects.pop_front()) object->loop_closes();
}

std::string repr(const EventLoop& loop) {
  return std::string("<EventLoop running=") + python_bool(loop.is_running()) +
         " closed=" + python_bool(loop.is_closed()) + " debug=" + python_bool(loop.get_debug()) + ">";
}

void EventLoop::default_exception_handler(const ExceptionContext& context) {
  detail::log(LogLevel::ERROR, detail::describe(context));
}

// ---- descriptors ------------------------------------------------------------------------------------------

void EventLoop::watch_fd(int fd, bool writer, runtime::Ref<detail::HandleBase> handle) {
  core_->check_open();
  core_->check_thread();
  handle->persistent = true;
  const long key = static_cast<long>(fd) * 2 + (writer ? 1 : 0);
  // The old handler is removed first, also if the new one fails: the number may belong to another file by
  // now, and only a fresh wait detects that. Its callback is destroyed last, because this may run destructors
  // of the program.
  const auto replaced = handlers_->of_fds.extract(key);
  if (!replaced.empty()) core_->scheduler().reactor().remove(*replaced.mapped());
  auto handler = std::make_unique<FdHandler>(*this, fd, writer ? runtime::kWritable : runtime::kReadable,
                                             std::move(handle));
  core_->scheduler().reactor().add(*handler);
  handlers_->of_fds.emplace(key, std::move(handler));
}

bool EventLoop::unwatch_fd(int fd, bool writer) {
  core_->check_thread();
  // The node lives until the map is consistent again: cancelling may run destructors of the program.
  return !handlers_->of_fds.extract(static_cast<long>(fd) * 2 + (writer ? 1 : 0)).empty();
}

// ---- signals ----------------------------------------------------------------------------------------------

void EventLoop::watch_signal(int signo, runtime::Ref<detail::HandleBase> handle) {
  if (signo <= 0 || signo >= NSIG) throw ValueError(absl::StrCat("invalid signal number ", signo));
  core_->check_open();
  core_->check_thread();
  handle->persistent = true;
  if (const auto found = handlers_->of_signals.find(signo); found != handlers_->of_signals.end()) {
    // The watch stays, so that the signal never triggers its default action in between.
    std::exchange(found->second->handle, std::move(handle))->cancel();
    return;
  }
  auto handler = std::make_unique<SignalHandler>(*this, signo, std::move(handle));
  if (!handler->claim()) throw RuntimeError(absl::StrCat("sig ", signo, " is handled by another event loop"));
  const auto entry = handlers_->of_signals.emplace(signo, std::move(handler)).first;
  absl::Cleanup forget = [&] { handlers_->of_signals.extract(entry); };
  try {
    core_->scheduler().reactor().watch_signal(*entry->second);
  } catch (const std::system_error&) {
    throw RuntimeError(absl::StrCat("sig ", signo, " cannot be caught"));
  }
  std::move(forget).Cancel();
}

bool EventLoop::remove_signal_handler(int signo) {
  if (signo <= 0 || signo >= NSIG) throw ValueError(absl::StrCat("invalid signal number ", signo));
  core_->check_thread();
  return !handlers_->of_signals.extract(signo).empty();
}

// ---- the loop of this thread ------------------------------------------------------------------------------

EventLoop& get_running_loop() {
  detail::LoopCore* const loop = detail::LoopCore::running();
  if (loop == nullptr) {
    // A task of a closing loop may catch the exception each time and go on: this call counts, as any wait
    // does.
    const runtime::Fiber* const fiber = runtime::current_fiber();
    if (fiber != nullptr && fiber->unwinding) fiber->scheduler->count_unwind_request();
    throw RuntimeError("no running event loop");
  }
  return loop->facade();
}

EventLoop& get_event_loop() {
  if (detail::LoopCore* const loop = detail::LoopCore::running()) return loop->facade();
  if (thread_loop.loop == nullptr && !thread_loop.ever_set && in_main_thread()) {
    set_event_loop(new EventLoop);  // for the rest of the process: it has no owner
  }
  if (thread_loop.loop == nullptr) {
    char name[16] = "";
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    throw RuntimeError("There is no current event loop in thread " + detail::quote(name) + ".");
  }
  return *thread_loop.loop;
}

void set_event_loop(EventLoop* loop) noexcept { thread_loop = {loop, true}; }

std::unique_ptr<EventLoop> new_event_loop() { return std::make_unique<EventLoop>(); }

}  // namespace aiofiber
