// SPDX-License-Identifier: Apache-2.0
//
// Coroutines that a task with a stack awaits: the driver that waits for them.
#include "aiofiber/coro.h"

namespace aiofiber::detail {

namespace {

// Waits as the coroutines ask. An exception of the wait goes to the coroutine that asked. If it does not
// catch it, the exception goes on to the frames above, so this handler passes it on (runtime::PassesOn).
AIOFIBER_NOINLINE void wait_as_requested(TaskCore& task, CoroChain& chain) {
  const ChainRequest request = chain.request;
  try {
    switch (request.kind) {
      case ChainRequest::Kind::kFuture:
        task.wait_for_future(*request.future, {.taken = true});  // the awaiter's reference
        break;
      case ChainRequest::Kind::kPass:
        task.wait_one_pass();
        break;
      case ChainRequest::Kind::kUntil:
        task.wait_until(request.deadline_ns);
        break;
      case ChainRequest::Kind::kCall:
        request.call(request.object);
        break;
      case ChainRequest::Kind::kNone:
        break;
    }
  } catch (const runtime::PassesOn&) {
    throw;
  } catch (...) {
    if (task.fiber()->unwinding) throw;  // the frames of the coroutines are destroyed
    chain.error = std::current_exception();
  }
}

// Shows the chain to debuggers, from the frame that drives it.
class Shown {
 public:
  Shown(runtime::Fiber& fiber, CoroChain& chain) noexcept : fiber_(fiber), chain_(chain) {
    chain_.outer = fiber_.coroutines;
    chain_.stack = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
    fiber_.coroutines = reinterpret_cast<std::uint64_t>(static_cast<aiofiber_coroutines*>(&chain_));
  }
  ~Shown() { fiber_.coroutines = chain_.outer; }
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;

 private:
  runtime::Fiber& fiber_;
  CoroChain& chain_;
};

}  // namespace

AIOFIBER_NOINLINE void drive(TaskCore& task, CoroChain& chain) {
  const Shown shown(*task.fiber(), chain);
  for (;;) {
    chain.run();
    if (chain.done()) return;
    wait_as_requested(task, chain);
  }
}

void SleepAwaiter::ask() {
  if (delay_ <= Duration()) {
    chain_->request.kind = ChainRequest::Kind::kPass;
    return;
  }
  const TimePoint now{std::chrono::nanoseconds(current_task_core()->loop().scheduler().now())};
  chain_->request.kind = ChainRequest::Kind::kUntil;
  chain_->request.object = parker_;
  chain_->request.deadline_ns = saturating_add(now, delay_).time_since_epoch().count();
}

}  // namespace aiofiber::detail
