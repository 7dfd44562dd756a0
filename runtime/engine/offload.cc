// SPDX-License-Identifier: Apache-2.0
//
// The thread pool, and the fiber's side of a call.
#include "aiofiber/runtime/engine/offload.h"

#include <absl/cleanup/cleanup.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime {

OffloadPool::OffloadPool(std::size_t max_threads, const char* thread_name) noexcept
    : max_threads_(max_threads), thread_name_(thread_name) {}

OffloadPool::~OffloadPool() { shutdown(true); }

namespace {

// A pool of the process, created on first use. Never destroyed: its threads outlive main(). A forked child
// has none of the threads, and their locks stay locked, so it creates a pool of its own.
class ProcessPool {
 public:
  constexpr ProcessPool(std::size_t max_threads, const char* thread_name) noexcept
      : max_threads_(max_threads), thread_name_(thread_name) {}

  OffloadPool& get() {
    Made* made = made_.load(std::memory_order_acquire);
    if (AIOFIBER_LIKELY(made != nullptr && made->generation == fork_generation())) return made->pool;
    Made* const fresh = new Made(max_threads_, thread_name_);
    if (made_.compare_exchange_strong(made, fresh, std::memory_order_acq_rel)) return fresh->pool;
    delete fresh;
    return made->pool;
  }

 private:
  struct Made {
    Made(std::size_t max_threads, const char* thread_name) noexcept : pool(max_threads, thread_name) {}
    const std::uint32_t generation = fork_generation();
    OffloadPool pool;
  };
  const std::size_t max_threads_;
  const char* const thread_name_;
  std::atomic<Made*> made_{nullptr};
};

constinit ProcessPool g_io(64, "aiofiber_io");
constinit ProcessPool g_waits(256, "aiofiber_w");

// A number of things that live on pool threads. A forked child has none of the threads: it counts from 0.
class Count {
 public:
  void add(std::int32_t n) noexcept {
    std::uint64_t old = packed_.load(std::memory_order_relaxed);
    while (!packed_.compare_exchange_weak(old, pack(value_of(old) + n), std::memory_order_acq_rel)) {
    }
  }
  std::size_t value() const noexcept {
    return static_cast<std::size_t>(value_of(packed_.load(std::memory_order_acquire)));
  }

 private:
  // The generation of the process is kept beside the number, so that both change at once.
  static std::uint64_t pack(std::int32_t number) noexcept {
    return std::uint64_t{fork_generation()} << 32 | static_cast<std::uint32_t>(number);
  }
  static std::int32_t value_of(std::uint64_t packed) noexcept {
    return packed >> 32 == fork_generation() ? static_cast<std::int32_t>(packed) : 0;
  }
  std::atomic<std::uint64_t> packed_{0};
};

constinit Count g_threads;
constinit Count g_starts;
constinit Count g_works;
constinit std::atomic<OffloadPool::SubmitFunction> g_submit_function{nullptr};

}  // namespace

std::size_t OffloadPool::threads_alive() noexcept { return g_threads.value(); }

std::size_t OffloadPool::works_in_flight() noexcept { return g_works.value(); }

// A start takes some microseconds, so this waits for no signal.
void OffloadPool::await_starts() noexcept {
  while (g_starts.value() > 0) std::this_thread::yield();
}

void OffloadPool::set_submit_function(SubmitFunction function) noexcept {
  g_submit_function.store(function, std::memory_order_release);
}

OffloadPool& OffloadPool::io() { return g_io.get(); }

OffloadPool& OffloadPool::waits() { return g_waits.get(); }

void OffloadPool::start_thread() {
  g_threads.add(1);  // first, so that a thread that exists is counted
  g_starts.add(1);
  absl::Cleanup not_started = [] {
    g_threads.add(-1);
    g_starts.add(-1);
  };
  threads_.emplace_back([this, number = threads_.size()] {
    char name[32];
    std::snprintf(name, sizeof name, "%.10s_%zu", thread_name_, number);
    name[15] = '\0';  // what Linux takes
    ::pthread_setname_np(::pthread_self(), name);
    g_starts.add(-1);
    work_loop();
    g_threads.add(-1);
  });
  std::move(not_started).Cancel();
}

void OffloadPool::submit(Work& work) {
  if (const SubmitFunction function = g_submit_function.load(std::memory_order_acquire)) function();
  const std::lock_guard lock(mutex_);
  if (shut_down_) throw std::runtime_error("cannot schedule new futures after shutdown");
  if (queued_ >= idle_ && threads_.size() < max_threads_) {
    try {
      start_thread();
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;  // if there is a thread, the work only waits longer
    }
  }
  g_works.add(1);
  work.next = nullptr;
  (first_ == nullptr ? first_ : last_->next) = &work;
  last_ = &work;
  ++queued_;
  work_available_.notify_one();
}

bool OffloadPool::withdraw(Work& work) noexcept {
  const std::lock_guard lock(mutex_);
  Work* previous = nullptr;
  for (Work* w = first_; w != nullptr; previous = w, w = w->next) {
    if (w != &work) continue;
    (previous == nullptr ? first_ : previous->next) = work.next;
    if (last_ == &work) last_ = previous;
    --queued_;
    g_works.add(-1);
    return true;
  }
  return false;
}

void OffloadPool::work_loop() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_available_.wait(lock, [this] { return first_ != nullptr || shut_down_; });
    --idle_;
    if (first_ == nullptr) return;
    Work* work = first_;
    first_ = work->next;
    --queued_;
    lock.unlock();
    work->run();
    g_works.add(-1);
    work->done();
    lock.lock();
  }
}

void OffloadPool::shutdown(bool wait) noexcept {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    shut_down_ = true;
    if (wait) threads.swap(threads_);
    work_available_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

bool OffloadPool::is_shut_down() const noexcept {
  const std::lock_guard lock(mutex_);
  return shut_down_;
}

namespace detail {

namespace {

// Wraps the work; its end returns to the loop as a node of the inbox.
struct Trip final : OffloadPool::Work, Runnable {
  explicit Trip(OffloadPool::Work& inner_work) noexcept
      : Runnable(Kind::kInternal,
                 [](Runnable& node) {
                   auto& self = static_cast<Trip&>(node);
                   self.back = true;
                   if (self.waiting != nullptr) self.waiting->unpark();
                 }),
        inner(inner_work),
        scheduler(*current_fiber()->scheduler) {}
  void run() noexcept override {
    errno = 0;
    inner.run();
    error_number = errno;
  }
  void done() noexcept override {
    ran.store(true, std::memory_order_release);
    ran.notify_one();
    scheduler.post(*this);  // *this still exists: the fiber leaves only after this node was run
  }

  OffloadPool::Work& inner;
  Scheduler& scheduler;
  Parker* waiting = nullptr;
  int error_number = 0;
  std::atomic<bool> ran{false};
  bool back = false;
};

// While it lives, the loop's clock expects an answer.
struct Answer {
  explicit Answer(Scheduler& its_scheduler) noexcept : scheduler(its_scheduler) {
    scheduler.clock().expect_answers(1);
  }
  ~Answer() { scheduler.clock().expect_answers(-1); }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  Scheduler& scheduler;
};

}  // namespace

void run_offloaded(OffloadPool::Work& work, OffloadPool& pool) {
  Fiber& self = *current_fiber();
  Trip trip(work);
  pool.submit(trip);
  const Answer due(*self.scheduler);
  // The call's arguments are on this stack, so a cancellation or a closing loop must wait for the call. An
  // interruption is remembered and put back; the facade raises it.
  bool was_interrupted = self.take_interrupted();
  while (!trip.back) {
    if (self.unwinding) {
      // The loop does not run any more: block the thread until the call and its node are done.
      trip.ran.wait(false, std::memory_order_acquire);
      while (!trip.back) trip.scheduler.settle();
      break;
    }
    Parker parker;
    trip.waiting = &parker;
    parker.park(AIOFIBER_WAIT_OFFLOAD, 0);
    trip.waiting = nullptr;
    was_interrupted |= self.take_interrupted();
  }
  self.interrupted = was_interrupted;
  errno = trip.error_number;
}

}  // namespace detail

// ---- detached calls

DetachedCall::DetachedCall() noexcept
    : Runnable(Kind::kInternal, [](Runnable& node) { static_cast<DetachedCall&>(node).arrive(); }),
      scheduler_(*current_fiber()->scheduler) {}

void DetachedCall::start(OffloadPool& pool) {
  state_ = State::kOnPool;
  try {
    const HooksOff hooks_off;  // the pool's mutex is held for moments: no reason to suspend
    pool.submit(*this);
  } catch (...) {
    state_ = State::kNew;
    throw;
  }
  pool_ = &pool;
}

// Under the mutex it is posted before the fiber can leave, so the scheduler still exists.
void DetachedCall::done() noexcept {
  std::unique_lock lock(mutex_);
  if (state_ == State::kLeft) {
    lock.unlock();
    delete this;
    return;
  }
  state_ = State::kPosted;
  scheduler_.post(*this);
}

void DetachedCall::arrive() noexcept {
  { const std::lock_guard lock(mutex_); }  // the pool's thread may still be inside done()
  arrived_ = true;
  if (left_) {
    delete this;
  } else if (waiting_ != nullptr) {
    waiting_->unpark();
  }
}

bool DetachedCall::has_run() noexcept {
  const HooksOff hooks_off;  // the hooks' mutexes would suspend a task that is between two waits
  const std::lock_guard lock(mutex_);
  return state_ == State::kPosted;
}

Wake DetachedCall::wait() {
  Fiber& self = *current_fiber();
  const detail::Answer due(scheduler_);
  bool was_interrupted = false;
  while (!arrived_) {
    Parker parker;
    waiting_ = &parker;
    const Wake reason = parker.park(AIOFIBER_WAIT_OFFLOAD, 0);
    waiting_ = nullptr;
    if (arrived_ || reason == Wake::kUnparked) continue;
    if (!has_run()) return reason;
    // Its node is on the way, and the answer is there.
    while (self.unwinding && !arrived_) scheduler_.settle();
    was_interrupted |= self.take_interrupted();
  }
  if (was_interrupted) self.interrupted = true;
  return Wake::kUnparked;
}

void DetachedCall::leave() noexcept {
  const HooksOff hooks_off;  // its task may be ending, or unwound
  {
    // This mutex first, then the pool's, which no thread of the pool holds in done().
    const std::lock_guard lock(mutex_);
    if (state_ == State::kOnPool && !pool_->withdraw(*this)) {
      state_ = State::kLeft;
      return;
    }
  }
  if (pool_ != nullptr && has_run() && !arrived_) {
    if (scheduler_.running()) {
      left_ = true;
      return;
    }
    while (!arrived_) scheduler_.settle();
  }
  delete this;
}

}  // namespace aiofiber::runtime
