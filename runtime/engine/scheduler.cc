// SPDX-License-Identifier: Apache-2.0
//
// The pass, the switch from fiber to fiber, and the life of a stack from first run to recycling.
//
// Two stacks run this code. The hub (the thread that called run()) polls and runs callbacks. A fiber that
// suspends picks its successor itself. Both use the same queue and counters, so the order does not depend on
// which stack is on the CPU.
#include "aiofiber/runtime/engine/scheduler.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/abi.h"
#include "aiofiber/runtime/engine/choice.h"
#include "aiofiber/runtime/engine/overflow.h"
#include "aiofiber/runtime/engine/switch.h"
#include "aiofiber/runtime/engine/task_values.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "engine/leak_roots.h"

namespace aiofiber::runtime {

constinit thread_local Scheduler* Scheduler::current_ = nullptr;

Scheduler::Scheduler(Clock& clock, std::unique_ptr<Reactor> reactor)
    : clock_(clock), reactor_(std::move(reactor)), polls_every_pass_(clock.polls_every_pass()) {
  // Links them into every program that uses the archive.
  asm volatile("" : : "r"(&abi_mark), "r"(&aiofiber_per_task_entries));
  set_stack_bounds_source(current_stack_bounds);
  set_coroutines_source(current_coroutines);
  watch_suspended_at_exit();
  static const std::uint32_t layout = arch::saved_pc_offset();
  __atomic_store_n(&aiofiber_debug_registry.ctx_layout, layout, __ATOMIC_RELAXED);
}

Scheduler::~Scheduler() {
  AIOFIBER_ASSERT(!running_);
  // The yield below must not suspend a task of another loop that destroys this loop.
  const HooksOff hooks_off;
  while (posted_.waking.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  while (attachments_ != nullptr) {
    Attachment& attachment = *std::exchange(attachments_, attachments_->next);
    attachment.release(attachment);
  }
}

// ---- running ----------------------------------------------------------------------------------------------

// Sets the state of a running scheduler; resets it when run() ends, also by an exception.
class Scheduler::RunScope {
 public:
  explicit RunScope(Scheduler& scheduler) noexcept : scheduler_(scheduler) {
    AIOFIBER_ASSERT(current_ == nullptr);
    current_ = &scheduler;
    scheduler.running_ = true;
    scheduler.fibers_begin_passes_ = !scheduler.stop_requested_ && !scheduler.polls_every_pass_;
    scheduler.thread_id_ = static_cast<std::uint32_t>(::syscall(SYS_gettid));
    loop_ = enter_loop(scheduler.thread_id_, &scheduler.clock_ != &SteadyClock::instance(),
                       scheduler.last_poll_, scheduler.polling_);
    scheduler.exception_state_ = thread_exception_state();
    install_overflow_handler();
  }
  ~RunScope() {
    leave_loop(loop_);
    if (scheduler_.finished_ != nullptr) scheduler_.recycle_finished();
    scheduler_.stop_requested_ = false;
    scheduler_.remaining_ = 0;
    if (scheduler_.polling_) scheduler_.take_posted();  // the reactor or the clock threw
    scheduler_.polling_ = false;
    scheduler_.running_ = scheduler_.fibers_begin_passes_ = false;
    if (tracing()) trace_loop(LoopMark::kLeave);
    current_ = nullptr;
  }
  RunScope(const RunScope&) = delete;
  RunScope& operator=(const RunScope&) = delete;

 private:
  Scheduler& scheduler_;
  aiofiber_loop* loop_ = nullptr;
  [[no_unique_address]] ThreadStackRoot root_;
};

void Scheduler::run() {
  const TaskValuesOfLoop values;
  const RunScope scope(*this);
  do {
    begin_pass();
    run_pass();
  } while (!stop_requested_);
  // A chooser's passes have one node each. What was ready at the stop still runs, as it does in a whole pass.
  if (Chooser* const chooser = this->chooser()) {
    for (std::size_t left = ready_count_; left > 0 && ready_count_ > 0; --left) {
      choose_node(*chooser);
      run_pass();
    }
  }
}

bool Scheduler::run_once(Nanoseconds deadline) {
  const TaskValuesOfLoop values;
  const RunScope scope(*this);
  struct Once {
    Scheduler& scheduler;
    ~Once() {
      scheduler.runs_once_ = false;
      scheduler.wait_at_most_until_ = kForever;
    }
  } const once{*this};
  fibers_begin_passes_ = false;
  runs_once_ = true;
  wait_at_most_until_ = deadline;
  begin_pass();
  const bool some = remaining_ > 0;
  run_pass();
  if (reactor_->needs_poll()) {
    // The kernel must know of the pass's new waits before another loop sleeps with the reactor's descriptor.
    polling_ = true;
    reactor_->poll(0);
    polling_ = false;
  }
  return some;
}

Nanoseconds Scheduler::next_pass() noexcept {
  AIOFIBER_ASSERT(!running_);
  if (ready_count_ > 0 || stop_requested_ || reactor_->needs_poll() || !posted_.inbox.try_sleep()) return 0;
  return std::min(timers_.next_deadline(), cooling_deadline());
}

void Scheduler::begin_pass() {
  ++passes_;
  take_posted();
  Chooser* const chooser = this->chooser();
  if (AIOFIBER_UNLIKELY(chooser != nullptr)) chooser->pass_begins(*this);
  if (AIOFIBER_UNLIKELY(posted_since_sleep_ >= kPostsOfAFlood) && ready_count_ == 0 && !stop_requested_ &&
      !polls_every_pass_) {
    linger();
  }
  if (ready_count_ == 0 || stop_requested_ || polls_every_pass_ || runs_once_ || poll_is_due()) {
    if (AIOFIBER_UNLIKELY(timers_.next_deadline() == kForever && wait_at_most_until_ == kForever &&
                          before_endless_sleep_ != nullptr && ready_count_ == 0 && !stop_requested_ &&
                          !only_cooled_)) {
      before_endless_sleep_(endless_sleep_argument_);
    }
    if (tracing()) trace_loop(LoopMark::kPollBegin);
    polling_ = true;
    // A post that comes after try_sleep() wakes the loop. One that came before is found now: no sleep.
    if (ready_count_ > 0 || stop_requested_ || !posted_.inbox.try_sleep()) {
      if (AIOFIBER_LIKELY(chooser == nullptr) || chosen_to_poll(*chooser)) poll_without_waiting();
    } else {
      posted_since_sleep_ = 0;
      clock_.wait_until(std::min({timers_.next_deadline(), cooling_deadline(), wait_at_most_until_}),
                        *reactor_);
    }
    polling_ = false;
    if (tracing()) trace_loop(LoopMark::kPollEnd);
    take_posted();
    last_poll_ = clock_.now();
    __atomic_store_n(&aiofiber_debug_registry.last_tick_ns, static_cast<std::uint64_t>(last_poll_),
                     __ATOMIC_RELAXED);
    while (Timer* timer = timers_.pop_due(last_poll_)) make_ready(*timer);
    only_cooled_ = AIOFIBER_UNLIKELY(stacks_.next_cooling() <= last_poll_) && cool_stacks();
    handles_since_poll_ = 0;
    next_clock_read_ = kHandlesBetweenClockReads;
  }
  remaining_ = ready_count_;
  if (AIOFIBER_UNLIKELY(chooser != nullptr) && ready_count_ > 0) choose_node(*chooser);
}

// Who decides what this pass runs; null: nobody, the pass runs what is ready.
inline Chooser* Scheduler::chooser() const noexcept {
  return AIOFIBER_UNLIKELY(polls_every_pass_) ? current_chooser : nullptr;
}

// Whether a pass with ready work polls. If nothing waits for a descriptor, a poll can only find a signal, and
// the program waits for that in any case.
bool Scheduler::chosen_to_poll(Chooser& chooser) const noexcept {
  constexpr std::uint64_t kPassesBetweenPolls = 64;
  return reactor_->has_fd_waiters() ? chooser.choose(2) == 0 : passes_ % kPassesBetweenPolls == 0;
}

// Lets the chooser take the only node of this pass. Steps of tasks may change places with each other, and a
// callback may come before steps that were ready earlier. Nothing comes before a callback that was ready
// earlier, so callbacks keep their order. The number of candidates is bounded: otherwise n ready tasks would
// take n * n steps.
void Scheduler::choose_node(Chooser& chooser) noexcept {
  constexpr std::size_t kMostCandidates = 64;
  std::size_t candidates = 1;
  const auto is_step = [](const Runnable& node) {
    return node.kind == Runnable::Kind::kFiber || node.kind == Runnable::Kind::kStackless;
  };
  for (const Runnable* node = ready_.front();
       is_step(*node) && candidates < std::min(ready_count_, kMostCandidates); node = node->next) {
    ++candidates;
  }
  ready_.move_to_front(chooser.choose_step(*ready_.front(), candidates));
  remaining_ = 1;
}

// Measures the poll once in a while. The cheapest one of late counts, because events and other programs make
// a poll longer; so the cost falls at once and rises slowly.
void Scheduler::poll_without_waiting() {
  if (polls_every_pass_ || polls_until_measurement_-- > 0) {
    reactor_->poll(0);
    return;
  }
  polls_until_measurement_ = kPollsBetweenMeasurements - 1;
  const Nanoseconds before = clock_.now();
  reactor_->poll(0);
  cost_of_poll_ = std::min(clock_.now() - before, cost_of_poll_ + cost_of_poll_ / 8 + 1);
  shortest_time_between_polls_ =
      std::clamp(kWorkForEachPoll * cost_of_poll_, kWorkForEachPoll * kUsualCostOfPoll, kTimeBetweenPolls);
}

// When a sleeping loop has to wake for its idle stacks. Never with a virtual clock: it would jump to that
// time and never report a program that hangs. Its loop gives memory back in the passes that it makes anyway.
Nanoseconds Scheduler::cooling_deadline() const noexcept {
  return polls_every_pass_ ? kForever : stacks_.next_cooling();
}

// Gives back one piece; the next one follows in the next pass. While work waits, pieces are spaced out. True
// if the pass has nothing else to do.
bool Scheduler::cool_stacks() noexcept {
  const bool busy = ready_count_ > 0;
  if (busy && last_poll_ - last_cooling_ < kTimeBetweenCoolings) return false;
  last_cooling_ = last_poll_;
  stacks_.cool(last_poll_);
  return !busy;
}

__attribute__((no_sanitize("thread"))) Scheduler::Pulse Scheduler::pulse() const noexcept {
  const auto read = [](const auto& field) __attribute__((no_sanitize("thread"))) {
    return *const_cast<const volatile std::remove_reference_t<decltype(field)>*>(&field);
  };
  return {(read(passes_) << 20) + read(handles_since_poll_), read(polling_) || !read(running_)};
}

inline bool Scheduler::poll_is_due() noexcept {
  return handles_since_poll_ >= next_clock_read_ && clock_says_poll();
}

bool Scheduler::clock_says_poll() noexcept {
  if (choose(2) == 1) return true;  // any pass may poll: a seeded test sees events arrive earlier
  const Nanoseconds elapsed = clock_.now() - last_poll_;
  if (elapsed >=
      (handles_since_poll_ < kHandlesBetweenPolls ? kTimeBetweenPolls : shortest_time_between_polls_))
    return true;
  // If handles are that short, reading the clock costs more than two of them.
  next_clock_read_ = elapsed < shortest_time_between_polls_
                         ? (handles_since_poll_ / kHandlesBetweenPolls + 1) * kHandlesBetweenPolls
                         : handles_since_poll_ + kHandlesBetweenClockReads;
  return false;
}

// The short form of begin_pass(), for a fiber's stack. False: the hub must run the long one.
inline bool Scheduler::begin_pass_without_polling() noexcept {
  if (!fibers_begin_passes_ || ready_count_ == 0 || !posted_.inbox.empty() || poll_is_due()) return false;
  ++passes_;
  remaining_ = ready_count_;
  return true;
}

void Scheduler::run_pass() {
  while (remaining_ > 0) {
    run_node(*take_next());
    if (AIOFIBER_UNLIKELY(exit_exception_ != nullptr))
      std::rethrow_exception(std::exchange(exit_exception_, nullptr));
  }
}

// Runs a node on the hub.
inline void Scheduler::run_node(Runnable& node) {
  if (node.kind == Runnable::Kind::kFiber) {
    resume(static_cast<Fiber&>(node));
  } else if (node.kind == Runnable::Kind::kStackless) {
    run_step(static_cast<Fiber&>(node));
  } else {
    const TracedCallback traced;
    node.run(node);
  }
}

void Scheduler::post(Runnable& node) noexcept {
  // After the push, the node may run and end the scheduler before its reactor is woken.
  const auto count = [this](bool begins) noexcept {
    if (begins) {
      posted_.waking.fetch_add(1, std::memory_order_relaxed);
    } else {
      posted_.waking.fetch_sub(1, std::memory_order_release);
    }
  };
  if (!posted_.inbox.push(node, count)) return;
  reactor_->wake();
  count(false);
}

// Threads have posted much, and may go on in a moment. If one of them needs this CPU, it fills the inbox
// meanwhile.
void Scheduler::linger() noexcept {
  posted_since_sleep_ = 0;
  std::this_thread::yield();
  take_posted();
}

void Scheduler::take_posted() noexcept {
  for (Runnable* node = posted_.inbox.take(); node != nullptr;) {
    Runnable* following = node->next;
    ++posted_since_sleep_;
    make_ready(*node);
    node = following;
  }
}

void Scheduler::settle() noexcept {
  take_posted();
  for (std::size_t left = ready_count_; left > 0; --left) {
    Runnable& node = *pop_ready();
    if (node.kind == Runnable::Kind::kInternal) {
      node.run(node);
    } else {
      make_ready(node);
    }
  }
}

// ---- fibers -----------------------------------------------------------------------------------------------

namespace {

// The values of variables per task for a fiber that is being created.
class NewValues {
 public:
  NewValues() : values_(watches(SwitchWatcher::kTaskValues) ? make_task_values() : nullptr) {}
  ~NewValues() {
    if (AIOFIBER_UNLIKELY(values_ != nullptr)) drop_task_values(values_);
  }
  NewValues(const NewValues&) = delete;
  NewValues& operator=(const NewValues&) = delete;
  Fiber& give_to(Fiber& fiber) noexcept {
    if (AIOFIBER_UNLIKELY(values_ != nullptr)) {
      fiber.locals = std::exchange(values_, nullptr);
      fiber.keeps_values = true;
    }
    return fiber;
  }

 private:
  FiberLocals* values_;
};

}  // namespace

Fiber& Scheduler::create_fiber(Fiber::Entry body, void* owner, std::size_t stack_bytes,
                               std::uintptr_t user_entry) {
  const std::uint8_t size_class = StackPool::size_class(stack_bytes);
  // The last fiber got no stack. Unless a stack is free again, fail here, where the caller sees the error.
  if (AIOFIBER_UNLIKELY(stacks_.exhausted() != nullptr))
    stacks_.release(stacks_.acquire(size_class), last_poll_);
  NewValues values;
  void* const slot = records_.allocate();
  const std::uint64_t slot_seq = static_cast<const aiofiber_record*>(slot)->seq;
  return add_fiber(values.give_to(*new (slot) Fiber(*this, body, owner, size_class, user_entry, slot_seq)));
}

Fiber& Scheduler::create_stackless(Runnable::Run step, void* owner, std::size_t stack_bytes,
                                   std::uintptr_t user_entry) {
  const std::uint8_t size_class = StackPool::size_class(stack_bytes);
  NewValues values;
  void* const slot = records_.allocate();
  const std::uint64_t slot_seq = static_cast<const aiofiber_record*>(slot)->seq;
  return add_fiber(values.give_to(*new (slot) Fiber(*this, step, owner, size_class, user_entry, slot_seq)));
}

Fiber& Scheduler::add_fiber(Fiber& fiber) noexcept {
  const Fiber* spawner = current_fiber_or_step();
  fiber.spawner = spawner != nullptr ? spawner->id : 0;
  fiber.after_cut_off = spawner != nullptr ? spawner->after_cut_off : 0;
  fiber.created_ns = last_poll_;
  fiber.tid = thread_id_;
  fiber.without_values = no_task_values_here;
  fiber.begin_life();
  if (tracing()) trace_wake(fiber, spawner);
  ++fibers_alive_;
  return fiber;
}

void Scheduler::free_record(Fiber& fiber) noexcept {
  if (AIOFIBER_UNLIKELY(fiber.keeps_values)) free_task_values(fiber);
  fiber.release_sanitizer_state();
  __atomic_store_n(&fiber.seq, fiber.seq | 1, __ATOMIC_RELEASE);
  fiber.state = AIOFIBER_FREE;
  fiber.stack_low = fiber.stack_high = fiber.fcontext = 0;
  __atomic_store_n(&fiber.seq, fiber.seq + 1, __ATOMIC_RELEASE);
  records_.release(&fiber);
  --fibers_alive_;
}

void Scheduler::destroy_unstarted(Fiber& fiber) noexcept {
  AIOFIBER_ASSERT(!fiber.started() && !fiber.queued);
  free_record(fiber);
}

// Gives a stack to a fiber that runs for the first time. False: there is no stack.
bool Scheduler::prepare(Fiber& fiber) noexcept {
  return AIOFIBER_LIKELY(fiber.started()) || bind(fiber, fiber_main);
}

bool Scheduler::bind(Fiber& fiber, Fiber::Main main) noexcept {
  try {
    fiber.bind(stacks_.acquire(fiber.size_class), stacks_.slot_bytes(fiber.size_class), main);
    fiber.tid = thread_id_;
    return true;
  } catch (const StackError& error) {
    start_failure_ = error.what();
  } catch (const std::bad_alloc&) {
    start_failure_ = "out of memory for a fiber stack";
  }
  return false;
}

void Scheduler::recycle_finished() noexcept {
  Fiber& fiber = *std::exchange(finished_, nullptr);
  stacks_.release(fiber.stack(), last_poll_);
  if (fiber.kind == Runnable::Kind::kStackless) {
    fiber.leave_stack();
  } else {
    free_record(fiber);
  }
}

// Called on the hub.
void Scheduler::resume(Fiber& fiber) {
  if (!prepare(fiber)) {
    // Its body runs on the hub's stack and must fail at once.
    fiber.body(fiber);
    free_record(fiber);
    return;
  }
  switch_fibers(hub_, fiber, exception_state_);
  if (finished_ != nullptr) recycle_finished();
}

// `finishing`: the calling fiber has ended, so a new fiber of the same size can take over its stack.
Fiber* Scheduler::next_fiber(bool finishing) noexcept {
  for (;;) {
    if (remaining_ == 0 && !begin_pass_without_polling()) return nullptr;
    Runnable& node = *ready_.front();
    if (node.kind == Runnable::Kind::kCallback || node.kind == Runnable::Kind::kStackless) return nullptr;
    if (node.kind == Runnable::Kind::kFiber) {
      auto& fiber = static_cast<Fiber&>(node);
      const bool can_adopt = finishing && fiber.size_class == current_fiber()->size_class;
      if (!fiber.started() && !can_adopt && !prepare(fiber)) return nullptr;  // the hub makes it fail
    }
    take_next();
    if (node.kind == Runnable::Kind::kFiber) return &static_cast<Fiber&>(node);
    node.run(node);
  }
}

AIOFIBER_ALWAYS_INLINE void fetch(std::uintptr_t address) noexcept {
  __builtin_prefetch(reinterpret_cast<const void*>(address));
}

// Prefetches what the switch after this one will touch, and what the next prefetch will read. With more
// fibers than the cache holds, each switch would wait for memory several times (10,000 that take turns: about
// 4 times faster). Addresses are numbers here, because there may be no object: a prefetch of unmapped memory
// does nothing.
AIOFIBER_ALWAYS_INLINE void Scheduler::prefetch_following() const noexcept {
  const Runnable* const node = ready_.front();
  if (node == nullptr || node->kind != Runnable::Kind::kFiber) return;
  const Fiber& fiber = static_cast<const Fiber&>(*node);
  const auto context = reinterpret_cast<std::uintptr_t>(fiber.fcontext);
  fetch(context);
  fetch(context + kCacheLineBytes);
  __builtin_prefetch(&fiber.exceptions);
  __builtin_prefetch(&fiber.switches);
  if (node->next == nullptr) return;
  // The node is not read, so it need not be a fiber.
  const auto after = reinterpret_cast<std::uintptr_t>(node->next);
  fetch(after);
  fetch(after - (reinterpret_cast<std::uintptr_t>(node) - reinterpret_cast<std::uintptr_t>(&fiber)));
}

// An exception must be able to leave these functions without an exception table (see jump_to()). So they are
// not inlined into functions that have one, and ThreadSanitizer must not add its cleanup.
#define AIOFIBER_SUSPENDS AIOFIBER_NOINLINE __attribute__((no_sanitize("thread")))

// suspend() and yield() each inline a copy, for the common case: the next node is a fiber that has run
// before.
AIOFIBER_ALWAYS_INLINE void Scheduler::suspend_here(Fiber& self) {
  Fiber* next = nullptr;
  if (AIOFIBER_LIKELY(remaining_ != 0 || begin_pass_without_polling())) {
    Runnable& node = *ready_.front();
    if (AIOFIBER_LIKELY(node.kind == Runnable::Kind::kFiber && static_cast<Fiber&>(node).started())) {
      next = static_cast<Fiber*>(take_next());
      prefetch_following();
    } else {
      next = next_fiber(false);
    }
  }
  if (AIOFIBER_UNLIKELY(next == &self)) {
    if (tracing()) trace_switch(self, self);
    self.state = AIOFIBER_RUNNING;
    return;
  }
  switch_fibers(self, next != nullptr ? *next : hub_, exception_state_);
  if (AIOFIBER_UNLIKELY(finished_ != nullptr)) recycle_finished();
}

AIOFIBER_SUSPENDS void Scheduler::suspend() { suspend_here(*current_fiber()); }

AIOFIBER_SUSPENDS void Scheduler::yield() {
  Fiber& self = *current_fiber();
  self.state = AIOFIBER_READY;
  make_ready(self);
  suspend_here(self);
}

void Scheduler::run_now(Fiber& fiber) {
  AIOFIBER_ASSERT(current_ == this);
  if (Fiber* const self = current_fiber()) {
    // When the new fiber suspends or ends, the fiber that made it runs next.
    self->state = AIOFIBER_READY;
    put_first(*self);
    put_first(fiber);
    suspend();
    return;
  }
  // A callback or a step, on the hub's stack. Apart from this fiber no node is left in the pass and no other
  // pass can begin, so when the fiber suspends, it comes back here.
  const std::size_t left = std::exchange(remaining_, 0);
  const bool begin_passes = std::exchange(fibers_begin_passes_, false);
  if (tracing()) trace_loop(LoopMark::kCallbackEnd);
  put_first(fiber);
  while (remaining_ > 0) run_node(*take_next());
  if (tracing()) trace_loop(LoopMark::kCallbackBegin);
  if (exit_exception_ != nullptr) return;  // run_pass() ends it
  remaining_ = left;
  fibers_begin_passes_ = begin_passes && !stop_requested_;
}

// ---- fibers without a stack

// Runs a stackless fiber up to its next wait. Debuggers see that it runs by its record only.
void Scheduler::run_step(Fiber& fiber) {
  __atomic_store_n(&fiber.seq, fiber.seq + 1, __ATOMIC_RELEASE);  // odd: on the CPU
  fiber.state = AIOFIBER_RUNNING;
  fiber.tid = thread_id_;
  ++fiber.switches;
  if (switch_is_watched()) watch_switch(hub_, fiber);
  Fiber* const outer = std::exchange(current_step_slot, &fiber);
  fiber.run(fiber);
  if (AIOFIBER_UNLIKELY(fiber.finished && fiber.keeps_values)) fiber.release_locals(true);
  current_step_slot = outer;
  if (switch_is_watched()) watch_switch(fiber, hub_);
  if (fiber.finished) {
    free_record(fiber);
  } else {
    __atomic_store_n(&fiber.seq, fiber.seq + 1, __ATOMIC_RELEASE);
  }
}

bool Scheduler::borrow_stack(Fiber& fiber, Fiber::Entry body) noexcept {
  AIOFIBER_ASSERT(fiber.kind == Runnable::Kind::kStackless && current_step_slot == &fiber);
  if (!bind(fiber, borrowed_main)) return false;
  fiber.body = body;
  fiber.kind = Runnable::Kind::kFiber;
  fiber.state = AIOFIBER_READY;
  put_first(fiber);
  return true;
}

// The body of a borrowed stack.
void Scheduler::borrowed_main(Fiber& self) noexcept {
  Scheduler& scheduler = *self.scheduler;
  if (scheduler.finished_ != nullptr) scheduler.recycle_finished();
  self.body(self);
  if (AIOFIBER_UNLIKELY(self.locals != nullptr)) self.release_locals(false);
  self.kind = Runnable::Kind::kStackless;
  self.state = AIOFIBER_READY;
  self.finished = true;  // with the stack
  if (!self.unwinding) scheduler.put_first(self);
  scheduler.finished_ = &self;
  switch_fibers(self, scheduler.hub_, scheduler.exception_state_);
  assertion_failed("a stack that was given back was resumed", __FILE__, __LINE__);
}

// ---- the bodies of fibers, and their end

// The body of every stack. It runs one fiber after the other as long as the next one is new: a finished
// fiber's stack goes to its successor while it is still in the cache.
void Scheduler::fiber_main(Fiber& first) noexcept {
  Fiber* self = &first;
  Scheduler& scheduler = *first.scheduler;
  if (scheduler.finished_ != nullptr) scheduler.recycle_finished();
  for (;;) {
    self->body(*self);
    if (AIOFIBER_UNLIKELY(self->locals != nullptr)) self->release_locals(true);
    self->finished = true;
    Fiber* next = scheduler.next_fiber(true);
    if (next == nullptr || next->started()) {
      scheduler.finished_ = self;
      switch_fibers(*self, next != nullptr ? *next : scheduler.hub_, scheduler.exception_state_);
      assertion_failed("a finished fiber was resumed", __FILE__, __LINE__);
    }
    next->tid = scheduler.thread_id_;
    next->adopt_stack(*self);
    *scheduler.exception_state_ = ExceptionState{};
    scheduler.free_record(*self);
    self = next;
  }
}

void Scheduler::end_current() noexcept {
  Fiber& self = *current_fiber();
  if (AIOFIBER_UNLIKELY(self.locals != nullptr)) self.release_locals(true);
  self.finished = true;
  // A new fiber gets a stack of its own: the rest of this one may be short.
  Fiber* const next = next_fiber(false);
  finished_ = &self;
  switch_fibers(self, next != nullptr ? *next : hub_, exception_state_);
  assertion_failed("a finished fiber was resumed", __FILE__, __LINE__);
}

bool Scheduler::unwind(Fiber& fiber, bool parked_wait_throws) noexcept {
  AIOFIBER_ASSERT(!running_ && fiber.suspended() && !fiber.queued);
  // A parked fiber returns from its wait; no exception is thrown into it.
  if ((fiber.parker == nullptr || parked_wait_throws) &&
      throw_would_terminate(saved_registers(reinterpret_cast<const void*>(fiber.fcontext)), fiber.bounds(),
                            {.type = &typeid(ForcedUnwind)})) {
    keep_abandoned(fiber);
    free_record(fiber);
    return false;
  }
  fiber.unwinding = true;
  unwind_requests_ = 0;
  exception_state_ = thread_exception_state();
  // The scheduler does not run, so next_fiber() cannot begin a pass: when the fiber suspends, it comes back
  // here.
  remaining_ = 0;
  Scheduler* const outer = std::exchange(current_, this);
  Fiber* const caller = current_fiber_slot;
  const TaskValuesOfUnwinding values;
  switch_fibers(hub_, fiber, exception_state_);
  current_fiber_slot = caller;
  current_ = outer;
  const bool ended = finished_ == &fiber;
  if (finished_ != nullptr) recycle_finished();
  if (!ended) {  // it waits again and nothing can resume it
    keep_abandoned(fiber);
    free_record(fiber);
  }
  return ended;
}

void Scheduler::abandon_current() {
  AIOFIBER_ASSERT(current_fiber()->unwinding);
  current_fiber()->state = AIOFIBER_WAITING;
  suspend();  // no pass can begin, so unwind() continues
  assertion_failed("an abandoned fiber was resumed", __FILE__, __LINE__);
}

void Scheduler::forget_after_fork() noexcept {
  for (aiofiber_loop& loop : aiofiber_debug_registry.loops)
    leave_loop(&loop);  // their threads do not exist in the child
  current_ = nullptr;
  current_fiber_slot = nullptr;
  current_step_slot = nullptr;
}

}  // namespace aiofiber::runtime
