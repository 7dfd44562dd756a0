// SPDX-License-Identifier: Apache-2.0
//
// The way from a foreign resumption, on any thread, back to the task on its loop's thread.
#include "aiofiber/foreign.h"

#include "aiofiber/task_core.h"
#include "aiofiber/thread_gate.h"

namespace aiofiber::detail {

namespace {

class Resumed final : public FutureState<void> {
 public:
  using FutureState<void>::FutureState;
  bool cancel(const RareText&) override { return false; }
};

}  // namespace

struct ForeignWait::Shared {
  std::shared_ptr<ThreadGate> gate;
  std::uint64_t link = 0;
  std::atomic<bool> resumed{false};
};

ForeignWait::Messenger ForeignWait::post_when_resumed(std::shared_ptr<Shared> shared) {
  shared->resumed.store(true, std::memory_order_release);
  shared->gate->post(shared->link);
  co_return;
}

ForeignWait::ForeignWait() {
  TaskCore* const task = current_task_core();
  if (task == nullptr) throw_outside_task();
  struct Arrival final : ThreadGate::Link {
    explicit Arrival(runtime::Ref<FutureBase> woken) noexcept : future(std::move(woken)) {}
    void arrive() override {
      if (!future->done()) static_cast<FutureState<void>&>(*future).set_value();
    }
    runtime::Ref<FutureBase> future;
  };
  resumed_ = runtime::Ref<FutureBase>(new Resumed(task->loop()));
  shared_ = std::make_shared<Shared>();
  shared_->gate = ThreadGate::of(task->loop()).shared_from_this();
  messenger_ = post_when_resumed(shared_);
  try {
    shared_->link = shared_->gate->add(std::make_unique<Arrival>(resumed_), false);
  } catch (...) {
    messenger_.handle.destroy();
    throw;
  }
}

// The awaitable was destroyed, so it does not resume the messenger any more, unless it has done so.
ForeignWait::~ForeignWait() {
  if (!shared_->resumed.load(std::memory_order_acquire)) messenger_.handle.destroy();
  shared_->gate->remove(shared_->link);
}

}  // namespace aiofiber::detail
