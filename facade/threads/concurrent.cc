// SPDX-License-Identifier: Apache-2.0
//
// The part of concurrent::Future that does not depend on its type. Callbacks run without the mutex.
#include "aiofiber/concurrent.h"

#include <condition_variable>

#include "aiofiber/log.h"
#include "core/thread_wait.h"

namespace aiofiber {

namespace concurrent::detail {

bool StateBase::cancel() {
  std::unique_lock lock(mutex_);
  if (phase_ == Phase::kCancelled) return true;
  if (phase_ != Phase::kPending) return false;
  finish(std::move(lock), Phase::kCancelled);
  return true;
}

bool StateBase::cancelled() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::kCancelled;
}

bool StateBase::running() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::kRunning;
}

bool StateBase::done() const {
  const std::lock_guard lock(mutex_);
  return is_done();
}

bool StateBase::set_running_or_notify_cancel() {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kCancelled) return false;
  if (phase_ != Phase::kPending) throw InvalidStateError("Future in unexpected state");
  phase_ = Phase::kRunning;
  return true;
}

// On the waiting thread's stack, and in the list for as long as it waits. So few futures need a condition
// variable, and no program that includes the header needs its header.
struct StateBase::ThreadWait {
  std::condition_variable done;
  ThreadWait* next;
};

void StateBase::wait(std::optional<Duration> timeout) {
  std::unique_lock lock(mutex_);
  if (is_done()) return;
  ThreadWait self{{}, waits_};
  waits_ = &self;
  const bool done = aiofiber::detail::wait_at_most(self.done, lock, timeout, [this] { return is_done(); });
  ThreadWait** place = &waits_;
  while (*place != &self) place = &(*place)->next;
  *place = self.next;
  if (!done) throw TimeoutError();
}

void StateBase::check_result(std::optional<Duration> timeout) {
  if (const std::exception_ptr error = exception(timeout)) std::rethrow_exception(error);
}

std::exception_ptr StateBase::exception(std::optional<Duration> timeout) {
  wait(timeout);
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kCancelled) throw CancelledError();
  return exception_;
}

void StateBase::set_exception(std::exception_ptr exception) {
  std::unique_lock lock(mutex_);
  check_settable();
  if (exception == nullptr) throw TypeError("invalid exception object: the exception_ptr is null");
  exception_ = std::move(exception);
  finish(std::move(lock), Phase::kFinished);
}

void StateBase::loop_closed() noexcept {
  if (done()) return;
  std::exception_ptr closed;
  try {
    closed = std::make_exception_ptr(RuntimeError("Event loop is closed"));
  } catch (const std::bad_alloc&) {
    closed = std::current_exception();
  }
  std::unique_lock lock(mutex_);
  if (is_done()) return;
  exception_ = std::move(closed);
  finish(std::move(lock), Phase::kFinished);
}

void StateBase::check_settable() const {
  if (is_done()) throw InvalidStateError("the result of this future is set already, or it was cancelled");
}

void StateBase::finish(std::unique_lock<std::mutex> lock, Phase phase) {
  phase_ = phase;
  std::vector<std::unique_ptr<Callback>> callbacks;
  callbacks.swap(callbacks_);
  // With the mutex: a thread that was woken may leave, and its condition variable with it.
  for (ThreadWait* wait = waits_; wait != nullptr; wait = wait->next) wait->done.notify_one();
  lock.unlock();
  for (const auto& callback : callbacks) run(*callback);
}

void StateBase::add_callback(std::unique_ptr<Callback> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_done()) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  run(*callback);
}

void StateBase::run(Callback& callback) noexcept {
  try {
    callback.call();
  } catch (...) {
    aiofiber::detail::log(LogLevel::ERROR, "exception calling callback of a concurrent future\n" +
                                               format_exception(std::current_exception()));
  }
}

}  // namespace concurrent::detail

namespace detail {

bool is_concurrent_cancel(const std::exception_ptr& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (const concurrent::CancelledError&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace detail

}  // namespace aiofiber
