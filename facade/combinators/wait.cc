// SPDX-License-Identifier: Apache-2.0
//
// wait(), without the types of its inputs. The state is counted: inputs may finish while the waiting task is
// cancelled, and their nodes are then still queued after wait() has returned.
#include "aiofiber/wait.h"

#include <absl/strings/str_cat.h>

#include "aiofiber/event_loop.h"
#include "aiofiber/task_core.h"
#include "aiofiber/watch.h"

namespace aiofiber::detail {

namespace {

class WaitState final : public WatchOwner {
 public:
  WaitState(LoopCore& loop, std::size_t count, ReturnWhen return_when)
      : waiter_(new ObjectFuture(loop, AIOFIBER_WAIT_SEVERAL, this)),
        watches_(count),
        remaining_(count),
        return_when_(return_when) {}

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }
  void retain_owner() noexcept override { retain(); }
  void release_owner() noexcept override { release(); }
  std::uint32_t owner_references() const noexcept override { return references_; }
  void add_awaiting(std::vector<FutureBase*>& out) const override { waiter_->add_awaiting(out); }
  const void* watcher() const noexcept override { return this; }

  void start(const std::vector<FutureBase*>& inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      watches_[i].start(*this, runtime::Ref<FutureBase>(inputs[i]));
  }
  void stop() noexcept { watches_.stop_all(); }
  void input_done(Watch& watch) noexcept override {
    --remaining_;
    FutureBase& input = *watch.input;
    bool enough = remaining_ == 0 || return_when_ == FIRST_COMPLETED;
    if (return_when_ == FIRST_EXCEPTION && !enough && input.failed()) {
      input.mark_retrieved();
      enough = true;
    }
    if (enough) wake();
  }
  void wake() noexcept {
    if (!waiter_->done()) waiter_->set_value();
  }
  FutureState<void>& waiter() noexcept { return *waiter_; }

 private:
  ~WaitState() = default;

  std::uint32_t references_ = 0;
  runtime::Ref<FutureState<void>> waiter_;
  WatchArray watches_;
  std::size_t remaining_;
  ReturnWhen return_when_;
};

}  // namespace

void check_wait(bool empty, ReturnWhen return_when) {
  if (empty) throw ValueError("Set of Tasks/Futures is empty.");
  if (return_when != ALL_COMPLETED && return_when != FIRST_COMPLETED && return_when != FIRST_EXCEPTION) {
    throw ValueError(absl::StrCat("Invalid return_when value: ", static_cast<int>(return_when)));
  }
}

namespace {

// One wait, from its begin to its end.
class Waiting {
 public:
  Waiting(LoopCore& loop, const std::vector<FutureBase*>& inputs, const WaitOptions& options)
      : state_(new WaitState(loop, inputs.size(), options.return_when)) {
    if (options.timeout)
      timer_ = loop.facade().call_later(*options.timeout, [state = state_] { state->wake(); });
    state_->start(inputs);
  }
  ~Waiting() {
    timer_.cancel();
    state_->stop();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  // Done when the wait is over.
  FutureState<void>& over() const noexcept { return state_->waiter(); }

 private:
  const runtime::Ref<WaitState> state_;
  TimerHandle timer_;  // empty without a limit
};

}  // namespace

void wait_here(const std::vector<FutureBase*>& inputs, const WaitOptions& options) {
  TaskCore& task = require_current_task();
  const Waiting waiting(task.loop(), inputs, options);
  task.wait_for_future(waiting.over());
  waiting.over().check_result();  // raises the cancellation
}

Coro<void> wait_without_stack(std::vector<FutureBase*> inputs, WaitOptions options) {
  const Waiting waiting(current_task_core()->loop(), inputs, options);
  co_await Future<void>(runtime::Ref<FutureState<void>>(&waiting.over()));
}

}  // namespace aiofiber::detail
