// SPDX-License-Identifier: Apache-2.0
//
// Steps and the end of asynchronous generators.
#include "aiofiber/async_generator.h"

#include <vector>

#include "aiofiber/exception_context.h"
#include "aiofiber/gather.h"

namespace aiofiber {

namespace detail {

void GeneratorBase::check_not_running(bool closing) const {
  if (state_ != State::kRunning) return;
  throw RuntimeError(closing ? "aclose(): asynchronous generator is already running"
                             : "anext(): asynchronous generator is already running");
}

void GeneratorBase::begin_step() noexcept {
  if (state_ == State::kCreated) current_task_core()->loop().async_generators.push_back(*this);
  state_ = State::kRunning;
}

Coro<void> GeneratorBase::close(runtime::Ref<GeneratorBase> generator) {
  if (generator->state_ == State::kCreated) generator->finish();
  if (generator->finished()) co_return;
  try {
    co_await generator->step(true);
  } catch (const GeneratorExit&) {
    co_return;
  }
  if (!generator->finished()) throw RuntimeError("async generator ignored GeneratorExit");
}

Coro<void> close_generators(LoopCore& loop) {
  std::vector<Coro<void>> closings;
  std::vector<EntryInfo> entries;
  while (runtime::ListNode* const node = loop.async_generators.front()) {
    const runtime::Ref<GeneratorBase> generator(static_cast<GeneratorBase*>(node));
    node->unlink();
    entries.push_back(generator->entry());
    closings.push_back(GeneratorBase::close(generator));
  }
  const std::vector<Result<void>> results = co_await gather(return_exceptions, std::move(closings));
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].has_value()) continue;
    ExceptionContext context;
    context.message =
        "an error occurred during closing of asynchronous generator '" + entry_name(entries[i]) + "'";
    context.exception = results[i].exception();
    loop.report(context);
  }
}

}  // namespace detail

Coro<void> EventLoop::shutdown_asyncgens() { return detail::close_generators(*core_); }

}  // namespace aiofiber
