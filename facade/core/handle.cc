// SPDX-License-Identifier: Apache-2.0
//
// The life of a handle: queued or armed, called, cleared.
//
// The callable and its arguments are destroyed as soon as they cannot be called any more, not with the last
// Handle object. A program may keep handles for long, and captured references should not live as long.
#include "aiofiber/handle.h"

#include <string_view>
#include <thread>

#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "core/text.h"

namespace aiofiber::detail {

std::string entry_name(EntryInfo entry) {
  if (entry.address != 0) {
    std::string name = runtime::symbolize(entry.address, true).back().function;
    if (name != "??") {
      // A lambda or a functor has its own name.
      constexpr std::string_view kCall = "::operator()";
      if (name.size() > kCall.size() && name.ends_with(kCall)) name.resize(name.size() - kCall.size());
      return name;
    }
  }
  return entry.type != nullptr ? type_name(*entry.type) : "??";
}

void throw_empty_callable(const char* function) {
  throw TypeError(std::string("a callable object was expected by ") + function + ", got an empty function");
}

HandleBase::HandleBase(LoopCore& loop, EntryInfo entry)
    : CallbackNode(run_node), context(inherit_context()), loop_(&loop), entry_(entry) {
  if (AIOFIBER_UNLIKELY(loop.debug())) source_trace_.capture();
}

// ---- scheduling -------------------------------------------------------------------------------------------

void HandleBase::schedule_soon() {
  retain();
  loop_->scheduler().make_ready(*this);
}

void HandleBase::schedule_at(TimePoint when) {
  is_timer_ = true;
  loop_->scheduler().timers().start(*this, when.time_since_epoch().count());
  retain();
}

namespace {
// A thread that has posted some thousand callbacks more than the loop has run gives up its CPU, once in a
// chunk. The loop may need it, and the callbacks that wait need memory that was never touched, which costs
// more than all the rest.
AIOFIBER_NOINLINE void let_the_loop_run() noexcept {
  const runtime::HooksOff hooks_off;  // the thread may run another loop
  std::this_thread::yield();
}
}  // namespace

runtime::Ref<HandleBase> HandleBase::schedule_threadsafe() noexcept {
  references_.store(2, std::memory_order_relaxed);
  auto own = runtime::Ref<HandleBase>::adopt(this);
  runtime::Scheduler& scheduler = loop_->scheduler();
  if (runtime::Scheduler::current() == &scheduler) {
    scheduler.make_ready(*this);  // in order with the call_soon() of this thread
  } else {
    scheduler.post(*this);
    if (AIOFIBER_UNLIKELY(PostPool::far_ahead())) let_the_loop_run();
  }
  return own;
}

void HandleBase::schedule_again() noexcept {
  if (queued || cancelled()) return;
  retain();
  loop_->scheduler().make_ready(*this);
}

// ---- the end ----------------------------------------------------------------------------------------------

void HandleBase::forget_once() noexcept {
  if (calling_ || forgotten_) return;
  forgotten_ = true;
  forget();
}

void HandleBase::cancel() noexcept {
  cancelled_.store(true, std::memory_order_relaxed);
  const runtime::Ref<HandleBase> keep(this);  // forget() may destroy the last handle
  forget_once();
  if (!armed()) return;
  loop_->scheduler().timers().cancel(*this);
  release();
}

void HandleBase::drop() noexcept {
  const auto queue_reference = runtime::Ref<HandleBase>::adopt(this);
  forget_once();
}

// ---- running ----------------------------------------------------------------------------------------------

void HandleBase::run_node(Runnable& node) {
  const auto self = runtime::Ref<HandleBase>::adopt(static_cast<HandleBase*>(&node));
  if (!self->cancelled()) self->run();
}

void HandleBase::run() {
  // Also for an exception of call(), and before its error is reported.
  struct Running {
    explicit Running(HandleBase& handle) noexcept : self(handle) {
      self.calling_ = true;
      self.loop_->running_handle = &self;
    }
    ~Running() {
      self.loop_->running_handle = nullptr;
      self.calling_ = false;
      if (!self.persistent || self.cancelled()) self.forget_once();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    HandleBase& self;
  };

  LoopCore& loop = *loop_;
  const bool timed = loop.debug();
  const runtime::Nanoseconds begun = timed ? loop.scheduler().cpu_time() : 0;
  std::exception_ptr failure;
  try {
    const Running running(*this);
    call();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure != nullptr) {
    if (leaves_the_loop(failure)) std::rethrow_exception(failure);
    ExceptionContext report;
    report.message = "Exception in callback " + entry_name(entry_) + "()";
    report.exception = std::move(failure);
    report.handle = Handle(runtime::Ref<HandleBase>(this));
    report.source_traceback = source_frames(source_trace_);
    loop.report(report);
  }
  if (timed) {
    const runtime::Nanoseconds duration = loop.scheduler().cpu_time() - begun;
    if (duration >= loop.slow_callback_duration.nanoseconds()) loop.report_slow(text(), duration);
  }
}

std::string HandleBase::text() const {
  std::string out = is_timer_ ? "<TimerHandle" : "<Handle";
  if (cancelled()) out += " cancelled";
  if (is_timer_) out += " when=" + number(static_cast<double>(deadline) / 1e9);
  if (!cancelled()) out += " " + entry_name(entry_) + "()";
  if (const std::string place = source_trace_.location(); !place.empty()) out += " created at " + place;
  return out + ">";
}

}  // namespace aiofiber::detail
