// SPDX-License-Identifier: Apache-2.0
//
// Executor: runs blocking functions on other threads; ThreadPoolExecutor is the usual one.
//
// Source: concurrent.futures.Executor, loop.run_in_executor(). A result returns to the loop in a node that
// was allocated before the call. If the loop is closed by then, the result is dropped.
// Cancelling the loop's future: work that has not begun never runs. Work that has begun runs to its end, and
// its result is dropped.
//
//     asyncio::ThreadPoolExecutor two_threads(2);
//     asyncio::EventLoop& loop = asyncio::get_running_loop();
//     assert(asyncio::await(loop.run_in_executor(&two_threads, [] { return 42; })) == 42);
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/concurrent.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/event_loop.h"

namespace aiofiber {

namespace detail {
class ThreadPool;

template <class R, class Call>
void run_into(concurrent::Future<R>& future, std::optional<Call>& call) {
  if (!future.set_running_or_notify_cancel()) return;
  try {
    if constexpr (std::is_void_v<R>) {
      (*call)();
      future.set_result();
    } else {
      future.set_result((*call)());
    }
  } catch (...) {
    future.set_exception(std::current_exception());
  }
}
template <class F, class... Args>
auto call_in_executor(EventLoop& loop, Executor* executor, EntryInfo called, F&& fn, Args&&... args);
}  // namespace detail

// Base class for other kinds of pools.
class Executor {
 public:
  // One unit of work.
  struct Work {
    virtual ~Work() = default;
    // Does the work, on a thread of the executor, once.
    virtual void run() noexcept = 0;
  };

  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs the work once, on another thread, then destroys it. Any thread.
  // RuntimeError "cannot schedule new futures after shutdown".
  virtual void execute(std::unique_ptr<Work> work) = 0;
  // Takes no more work; accepted work still runs. With `wait`, blocks the thread until that work is done.
  virtual void shutdown(bool wait) = 0;

  // Calls fn(args...) on a thread of the executor. Arguments are decay-copied, as by std::thread. Any thread.
  template <class F, class... Args>
  concurrent::Future<aiofiber::detail::CallResult<F, Args...>> submit(F&& fn, Args&&... args) {
    auto job = make_job(std::forward<F>(fn), std::forward<Args>(args)...);
    auto future = job->future;
    execute(std::move(job));
    return future;
  }

 private:
  template <class F, class... Args>
  friend auto aiofiber::detail::call_in_executor(EventLoop& loop, Executor* executor,
                                                 aiofiber::detail::EntryInfo called, F&& fn, Args&&... args);

  // A call, and the future of its result.
  template <class R, class Call>
  struct Job final : Work {
    explicit Job(Call&& bound) : call(std::move(bound)) {}
    void run() noexcept override { aiofiber::detail::run_into(future, call); }
    concurrent::Future<R> future;
    std::optional<Call> call;
  };
  template <class F, class... Args>
  static auto make_job(F&& fn, Args&&... args) {
    using R = aiofiber::detail::CallResult<F, Args...>;
    auto call = aiofiber::detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...);
    return std::make_unique<Job<R, decltype(call)>>(std::move(call));
  }
};

// A pool of threads, started on demand and named "asyncio_N". First in, first out.
class ThreadPoolExecutor : public Executor {
 public:
  // 0: asyncio's default, min(32, processors + 4).
  explicit ThreadPoolExecutor(std::size_t max_workers = 0);
  // Does not wait for running work. The process waits for it before it ends, as Python does.
  ~ThreadPoolExecutor() override;

  void execute(std::unique_ptr<Work> work) override;
  void shutdown(bool wait) override;
  // The number of accepted calls that have not ended. Any thread.
  std::size_t unfinished() const noexcept;
  // Blocks the thread until no work runs, for at most `timeout`; false: the timeout passed. Any thread.
  bool wait_idle(std::optional<Duration> timeout);

 private:
  std::unique_ptr<detail::ThreadPool> pool_;
};

// Waits for the threads of the loop's default executor, for at most `timeout` of real time (nullopt: no
// limit). Afterwards run_in_executor(nullptr, ...) is a RuntimeError "Executor shutdown has been called".
// When the timeout passes, a warning is logged. Cancellation: a cancellation point. Source:
// loop.shutdown_default_executor().
Coroutine<void> shutdown_default_executor(EventLoop& loop, std::optional<Duration> timeout = std::nullopt);

namespace detail {
// The loop's default executor, made on first use. RuntimeError "Executor shutdown has been called".
Executor& default_executor(LoopCore& core);

// The common part of run_in_executor() and to_thread(). Debuggers show the function `called`. `executor`
// null: the default one.
template <class F, class... Args>
auto call_in_executor(EventLoop& loop, Executor* executor, EntryInfo called, F&& fn, Args&&... args) {
  loop.core().check_open();
  loop.core().check_thread();
  Executor& chosen = executor != nullptr ? *executor : default_executor(loop.core());
  auto job = Executor::make_job(std::forward<F>(fn), std::forward<Args>(args)...);
  // This comes first because it allocates: a call that the executor has accepted cannot be taken back.
  auto result = follow(job->future, loop, Claim::kMove, called.address);
  const auto future = job->future;
  try {
    chosen.execute(std::move(job));
  } catch (...) {
    future.cancel();  // this also ends the loop's future
    throw;
  }
  return result;
}
}  // namespace detail

template <class F, class... Args>
auto EventLoop::run_in_executor(Executor* executor, F&& fn, Args&&... args) {
  return detail::call_in_executor(*this, executor, detail::entry_of(fn), std::forward<F>(fn),
                                  std::forward<Args>(args)...);
}

}  // namespace aiofiber
