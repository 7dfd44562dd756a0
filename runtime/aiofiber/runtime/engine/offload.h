// SPDX-License-Identifier: Apache-2.0
//
// Offload: run a blocking call on a pool of threads while the fiber sleeps.
//
// OffloadPool is a plain thread pool: FIFO, threads started on demand up to a limit and named "asyncio_N"
// (asyncio's executor). The hooks use offload(fn), which suspends the fiber until fn has run. A cancellation
// does not stop a running call, because the call's arguments live on the fiber's stack: the fiber waits, and
// the cancellation is raised afterwards. A DetachedCall owns what it uses, so its fiber can leave it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/runnable.h"

namespace aiofiber::runtime {

class OffloadPool {
 public:
  // A unit of work, embedded in the waiting object. Both functions are called on a pool thread: run(), then
  // done(), when works_in_flight() no longer counts the work. done() may destroy it.
  struct Work {
    virtual void run() noexcept = 0;
    virtual void done() noexcept {}
    Work* next = nullptr;

   protected:
    ~Work() = default;
  };

  explicit OffloadPool(std::size_t max_threads, const char* thread_name = "asyncio") noexcept;
  ~OffloadPool();  // runs what is queued, then joins
  OffloadPool(const OffloadPool&) = delete;
  OffloadPool& operator=(const OffloadPool&) = delete;

  // Any thread. Throws std::runtime_error after shutdown(); std::system_error when no thread can be created
  // and none exists.
  void submit(Work& work);
  // Any thread: takes the work out again if no thread has begun it.
  bool withdraw(Work& work) noexcept;
  // Refuses new work. With `wait` it returns when all threads have ended.
  void shutdown(bool wait) noexcept;
  bool is_shut_down() const noexcept;

  // Over all pools of the process, for who must know whether another thread works. Any thread.
  static std::size_t threads_alive() noexcept;
  static std::size_t works_in_flight() noexcept;  // submitted and not done
  // Blocks until the threads that have been created run their loop. A thread that starts blocks all signals.
  static void await_starts() noexcept;
  // The function is called when work is submitted, by the submitting thread, before a pool sees the work.
  // nullptr: none.
  using SubmitFunction = void (*)() noexcept;
  static void set_submit_function(SubmitFunction function) noexcept;

  // The process-wide pool for blocking I/O of the hooks (64 threads at most). Never destroyed.
  static OffloadPool& io();
  // The pool for calls that may take any time (waiting for a child process). A separate pool, so that they do
  // not starve names and files (256 threads at most). Never destroyed.
  static OffloadPool& waits();

 private:
  void start_thread();  // under the mutex
  void work_loop() noexcept;

  mutable std::mutex mutex_;
  std::condition_variable work_available_;
  std::vector<std::thread> threads_;  // guarded by mutex_
  Work* first_ = nullptr;             // guarded by mutex_, as all below
  Work* last_ = nullptr;
  std::size_t idle_ = 0;
  std::size_t queued_ = 0;
  const std::size_t max_threads_;
  const char* const thread_name_;
  bool shut_down_ = false;
};

namespace detail {
// Submits the work to the pool and suspends the current fiber until it has run.
void run_offloaded(OffloadPool::Work& work, OffloadPool& pool);
}  // namespace detail

// Calls fn() on a pool thread and returns its result; the current fiber is suspended meanwhile. Carries errno
// over from fn. Precondition: called on a fiber. Throws what fn throws.
template <class F>
std::invoke_result_t<F&> offload(F&& fn, OffloadPool& pool = OffloadPool::io()) {
  using R = std::invoke_result_t<F&>;
  struct Call final : OffloadPool::Work {
    explicit Call(F& function) : fn_(function) {}
    void run() noexcept override {
      try {
        if constexpr (std::is_void_v<R>) {
          fn_();
        } else {
          result_.emplace(fn_());
        }
      } catch (...) {
        exception_ = std::current_exception();
      }
    }
    F& fn_;
    std::optional<std::conditional_t<std::is_void_v<R>, char, R>> result_;
    std::exception_ptr exception_;
  } call(fn);
  detail::run_offloaded(call, pool);
  if (call.exception_) std::rethrow_exception(call.exception_);
  if constexpr (!std::is_void_v<R>) return std::move(*call.result_);
}

class Scheduler;

// A call on a pool that owns its arguments and its answer. The fiber that waits for it may leave it: then it
// runs to its end without being waited for, and is destroyed there. Threads: the loop's, except call().
class DetachedCall : private OffloadPool::Work, private Runnable {
 public:
  // Leaves a call that was started: takes it off the pool, or lets it run to its end. It may be destroyed by
  // a pool thread then.
  struct Leave {
    void operator()(DetachedCall* call) const noexcept { call->leave(); }
  };
  template <class Call>
  using Owner = std::unique_ptr<Call, Leave>;

  DetachedCall(const DetachedCall&) = delete;
  DetachedCall& operator=(const DetachedCall&) = delete;

  // Once. Throws as OffloadPool::submit(), and then the call is not started.
  void start(OffloadPool& pool);
  // Suspends the current fiber until the call has run: kUnparked. kInterrupted or kAlarm: it still runs, and
  // the fiber may wait again or leave it. Precondition: started by a fiber of the same loop.
  Wake wait();

 protected:
  // Precondition: on a fiber, for whose loop it is.
  DetachedCall() noexcept;
  virtual ~DetachedCall() = default;

 private:
  enum class State : std::uint8_t { kNew, kOnPool, kPosted, kLeft };

  virtual void call() noexcept = 0;  // on a pool thread
  void run() noexcept final { call(); }
  void done() noexcept final;
  void arrive() noexcept;
  void leave() noexcept;
  bool has_run() noexcept;

  Scheduler& scheduler_;
  OffloadPool* pool_ = nullptr;
  std::mutex mutex_;
  State state_ = State::kNew;  // guarded by mutex_
  Parker* waiting_ = nullptr;  // the loop's thread only, as the rest
  bool arrived_ = false;
  bool left_ = false;  // after it was posted
};

}  // namespace aiofiber::runtime
