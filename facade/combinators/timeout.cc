// SPDX-License-Identifier: Apache-2.0
//
// The states of a Timeout, and the decision at the end of its body.
#include "aiofiber/timeout.h"

#include <absl/strings/str_format.h>

#include "aiofiber/event_loop.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/task_core.h"

namespace aiofiber {

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

void Timeout::reschedule(std::optional<TimePoint> when) {
  if (state_ == State::kCreated) throw RuntimeError("Timeout has not been entered");
  if (state_ != State::kEntered) {
    throw RuntimeError("Cannot change state of " + std::string(state_name(state_)) + " Timeout");
  }
  disarm();
  when_ = when;
  if (runtime::current_fiber_or_step() == task_->fiber()) show_limit();
  if (!when) return;
  EventLoop& loop = task_->loop().facade();
  if (*when <= loop.time()) {
    timer_ = loop.call_soon([this] { on_timeout(); });
  } else {
    arm();
  }
}

void Timeout::arm() {
  timer_ = task_->loop().facade().call_at(*when_, [this] { on_timeout(); });
}

void Timeout::enter(bool ahead) {
  if (state_ != State::kCreated) throw RuntimeError("Timeout has already been entered");
  task_ = detail::current_task_core();
  if (task_ == nullptr) throw RuntimeError("Timeout should be used inside a task");
  state_ = State::kEntered;
  cancelling_at_entry_ = task_->cancelling();
  outer_limit_ = runtime::current_fiber_or_step()->wait_limit;
  show_limit();
  if (ahead && when_) {
    arm();
  } else {
    reschedule(when_);
  }
  scope_ = task_->open_scope();
}

void Timeout::on_timeout() {
  state_ = State::kExpiring;
  timer_.reset();
  task_->cancel({}, {scope_, detail::CancelSource::Error::kTimeout});
}

void Timeout::disarm() noexcept {
  if (timer_) timer_->cancel();
  timer_.reset();
}

void Timeout::check_interrupted() { task_->raise_if_interrupted(); }

void Timeout::show_limit() noexcept {
  runtime::Fiber& fiber = *runtime::current_fiber_or_step();
  fiber.wait_limit = outer_limit_;
  if (when_) fiber.shorten_limit(when_->time_since_epoch().count());
}

void Timeout::leave() noexcept {
  disarm();
  task_->close_scope(scope_);
  if (runtime::Fiber* fiber = runtime::current_fiber_or_step()) fiber->wait_limit = outer_limit_;
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
          absl::StrFormat("%.3f", std::chrono::duration<double>(scope.when_->time_since_epoch()).count());
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
