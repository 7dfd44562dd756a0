// SPDX-License-Identifier: Apache-2.0
//
// The queue of finished inputs, and the FIFO of tasks that wait for one.
#include "aiofiber/as_completed.h"

#include "aiofiber/event_loop.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

AsCompletedState::AsCompletedState(LoopCore& loop, std::size_t count)
    : loop_(&loop), watches_(count), unfinished_(count) {
  finished_.reserve(count);
}

AsCompletedState::~AsCompletedState() {
  if (timer_) timer_->cancel();
}

void AsCompletedState::start(const std::vector<runtime::Ref<FutureBase>>& inputs,
                             std::optional<Duration> timeout) {
  // The timer does not keep the state alive: the last reference cancels it.
  if (timeout && !inputs.empty()) timer_ = loop_->facade().call_later(*timeout, [this] { on_timeout(); });
  for (std::size_t i = 0; i < inputs.size(); ++i) watches_[i].start(*this, inputs[i]);
}

void AsCompletedState::input_done(Watch& watch) noexcept {
  if (unfinished_ == 0) return;  // the timeout came first
  --unfinished_;
  finished_.push_back(std::move(watch.input));
  if (unfinished_ == 0 && timer_) timer_->cancel();
  getters_.pop_and_wake_next();
}

void AsCompletedState::add_awaiting(std::vector<FutureBase*>& out) const { getters_.add_awaiting(out); }

void AsCompletedState::on_timeout() noexcept {
  watches_.stop_all();
  for (; unfinished_ > 0; --unfinished_) {
    finished_.emplace_back();
    getters_.pop_and_wake_next();
  }
}

// For a waiter that was cancelled after its wake-up.
void AsCompletedState::pass_on(const WaitQueue::Waiter& waiter) {
  if (waiter.woken() && taken_ < finished_.size()) getters_.pop_and_wake_next();
}

runtime::Ref<FutureBase> AsCompletedState::take() {
  runtime::Ref<FutureBase> input = std::move(finished_[taken_++]);
  if (!input) throw TimeoutError();
  return input;
}

runtime::Ref<FutureBase> AsCompletedState::next() {
  TaskCore& task = require_current_task();
  while (taken_ == finished_.size()) {
    WaitQueue::Waiter waiter(getters_, *loop_);
    waiter.wait(task, [&] { pass_on(waiter); });
  }
  return take();
}

Coro<runtime::Ref<FutureBase>> AsCompletedState::next_without_stack(runtime::Ref<AsCompletedState> state) {
  while (state->taken_ == state->finished_.size()) {
    WaitQueue::Waiter waiter(state->getters_, *state->loop_);
    co_await waiter.wait_without_stack([&] { state->pass_on(waiter); });
  }
  co_return state->take();
}

}  // namespace aiofiber::detail
