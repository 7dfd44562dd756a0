// SPDX-License-Identifier: Apache-2.0
//
// The states of a Timeout, and the decision at the end of its body.
#include "aiofiber/timeout.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/frame_pool.h"
#include "aiofiber/runtime/engine/decimals.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/task_core.h"

namespace aiofiber {

namespace detail {

// Calls on_timeout() of its scope at the deadline. An object of its own, in memory that is used again: when
// the deadline and the end of the scope come in one pass, it is in the ready queue after the scope has gone.
class TimeoutTimer final : public CallbackNode {
 public:
  explicit TimeoutTimer(Timeout& scope) noexcept : CallbackNode(run_node), scope_(&scope) {}
  static void* operator new(std::size_t bytes) { return FramePool::allocate(bytes); }
  static void operator delete(void* memory) noexcept { FramePool::release(memory, sizeof(TimeoutTimer)); }

  // The scope does not need it any more.
  void cancel(runtime::Scheduler& scheduler) noexcept {
    scope_ = nullptr;
    if (!armed()) return;  // it deletes itself when its turn comes
    scheduler.timers().cancel(*this);
    delete this;
  }
  void drop() noexcept override {
    if (scope_ != nullptr) scope_->timer_ = nullptr;
    delete this;
  }

 private:
  static void run_node(runtime::Runnable& node) {
    const std::unique_ptr<TimeoutTimer> self(static_cast<TimeoutTimer*>(&node));
    if (self->scope_ != nullptr) self->scope_->on_timeout();
  }

  Timeout* scope_;  // null: it has ended, or has another timer
};

}  // namespace detail

const char* Timeout::state_name(State state) noexcept {
  switch (state) {
    case State::kCreated:
      return "created";
    case State::kEntered:
      return "active";
    case State::kExpiring:
      return "expiring";
    case State::kExpired:
      return "expired";
    case State::kExited:
      break;
  }
  return "finished";
}

Timeout::~Timeout() {
  disarm();
  // The frame of a coroutine was destroyed inside the scope: its loop closes.
  if (state_ == State::kEntered || state_ == State::kExpiring) task_->innermost_timeout = outer_;
}

void Timeout::reschedule(std::optional<TimePoint> when) {
  if (state_ == State::kCreated) throw RuntimeError("Timeout has not been entered");
  if (state_ != State::kEntered) {
    throw RuntimeError("Cannot change state of " + std::string(state_name(state_)) + " Timeout");
  }
  disarm();
  when_ = when;
  // Any code of the loop may do this, while the task waits in an inner scope.
  runtime::set_limit(*task_->fiber(), task_->innermost_timeout->limit());
  if (!when) return;
  detail::LoopCore& loop = task_->loop();
  if (when->time_since_epoch().count() <= loop.scheduler().now()) {
    loop.check_open();
    loop.check_thread();
    timer_ = new detail::TimeoutTimer(*this);
    loop.scheduler().make_ready(*timer_);
  } else {
    arm();
  }
}

void Timeout::arm() {
  detail::LoopCore& loop = task_->loop();
  loop.check_open();
  loop.check_thread();
  auto timer = std::make_unique<detail::TimeoutTimer>(*this);
  loop.scheduler().timers().start(*timer, when_->time_since_epoch().count());
  timer_ = timer.release();
}

void Timeout::enter(bool ahead) {
  if (state_ != State::kCreated) throw RuntimeError("Timeout has already been entered");
  task_ = detail::current_task_core();
  if (task_ == nullptr) throw RuntimeError("Timeout should be used inside a task");
  state_ = State::kEntered;
  cancelling_at_entry_ = task_->cancelling();
  outer_ = std::exchange(task_->innermost_timeout, this);
  outer_limit_ = outer_ != nullptr ? outer_->outer_limit_ : task_->fiber()->wait_limit;
  if (when_) task_->fiber()->shorten_limit(when_->time_since_epoch().count());
  if (ahead && when_) {
    arm();
  } else {
    reschedule(when_);
  }
  scope_ = task_->open_scope();
}

void Timeout::on_timeout() {
  state_ = State::kExpiring;
  timer_ = nullptr;
  task_->cancel({}, {scope_, detail::CancelSource::Error::kTimeout});
}

void Timeout::disarm() noexcept {
  if (timer_ != nullptr) std::exchange(timer_, nullptr)->cancel(task_->loop().scheduler());
}

void Timeout::check_interrupted() { task_->raise_if_interrupted(); }

std::uint64_t Timeout::limit() const noexcept {
  std::uint64_t limit = outer_limit_;
  for (const Timeout* scope = this; scope != nullptr; scope = scope->outer_) {
    if (!scope->when_) continue;
    const auto when =
        static_cast<std::uint64_t>(std::max<std::int64_t>(scope->when_->time_since_epoch().count(), 1));
    if (limit == 0 || when < limit) limit = when;
  }
  return limit;
}

void Timeout::leave() noexcept {
  disarm();
  task_->close_scope(scope_);
  task_->innermost_timeout = outer_;
  if (runtime::Fiber* fiber = runtime::current_fiber_or_step())
    fiber->wait_limit = outer_ != nullptr ? outer_->limit() : outer_limit_;
  if (state_ == State::kExpiring) {
    state_ = State::kExpired;
    task_->uncancel();
  } else {
    state_ = State::kExited;
  }
}

// If other code requested a cancellation too, that cancellation passes on, unless it would end the program
// here, in a destructor.
bool Timeout::ends_by_timeout() {
  return task_->cancelling() <= cancelling_at_entry_ || !task_->cancellation_passes_or_is_kept();
}

void Timeout::leave_throwing() {
  const bool fired = state_ == State::kExpiring;
  try {
    throw;
  } catch (const runtime::ForcedUnwind&) {
    leave();
    throw;
  } catch (const CancelledError&) {
    leave();
    if (fired && ends_by_timeout()) throw TimeoutError();
    throw;
  } catch (...) {
    if (!detail::leaves_the_loop(std::current_exception())) {
      try {
        task_->raise_if_interrupted();
      } catch (const runtime::PassesOnOther&) {
        throw;
      } catch (const CancelledError&) {
        leave();
        if (fired && ends_by_timeout()) throw TimeoutError();
        throw;
      }
    }
    leave();
    throw;
  }
}

std::string repr(const Timeout& scope) {
  std::string text = "<Timeout [" + std::string(Timeout::state_name(scope.state_)) + "]";
  if (scope.state_ == Timeout::State::kEntered) {
    text += " when=";
    if (!scope.when_) {
      text += "None";
    } else {
      // Rounded to three digits, as in asyncio.
      std::string number =
          runtime::decimals(std::chrono::duration<double>(scope.when_->time_since_epoch()).count(), 3);
      while (number.back() == '0' && number[number.size() - 2] != '.') number.pop_back();
      text += number;
    }
  }
  return text + ">";
}

namespace detail {
std::optional<TimePoint> deadline_after(std::optional<Duration> delay) {
  EventLoop& loop = get_running_loop();
  if (!delay) return std::nullopt;
  return saturating_add(loop.time(), *delay);
}
}  // namespace detail

}  // namespace aiofiber
