// SPDX-License-Identifier: Apache-2.0
//
// More cores: run_workers(), a program that is a loop on each of several threads; Workers, a pool of loops.
//
// A loop has one thread, and a task never leaves its loop. So several cores take several loops, each with its
// own tasks, futures and locks. They share only what is made for it: a Channel, a concurrent::Future, a
// listening port (SO_REUSEPORT), a ServerGroup (server.h). asyncio has no such functions; they follow
// asyncio.run() and TaskGroup.
//
// Each loop has a thread of its own. The calling thread of run_workers() runs a small loop that waits for the
// others and handles signals, so that no busy worker delays them.
//
//     auto names = asyncio::run_workers([](asyncio::Worker& worker) { return worker.name(); }, {.loops = 2});
//     assert((names == std::vector<std::string>{"worker-0", "worker-1"}));
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/concurrent.h"
#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/runner.h"

namespace aiofiber {

class Worker;

namespace detail {
class WorkerThreads;
}

// How many loops, on which processors, and who handles signals.
struct WorkersOptions {
  // The number of loops. 0: one for each processor on which the calling thread may run.
  std::size_t loops = 0;
  // Each thread runs only on its own processor of those (round robin if there are more threads).
  bool pin = false;
  // Thread i and its main task are named NAMES-i. The system cuts NAMES so that the thread's name has at most
  // 15 bytes.
  std::string names = "worker";
  // run_workers() handles SIGINT and SIGTERM. False: the program does. A signal for which the program has a
  // handler, or that it ignores, is always left alone, and so are all signals outside the main thread.
  bool signals = true;
  std::optional<bool> debug = std::nullopt;  // absent: each loop's default
  // Called on each worker's thread. Empty: new_event_loop().
  std::function<std::unique_ptr<EventLoop>()> loop_factory = nullptr;
};

// One of the loops of run_workers(). Threads: its own, unless stated otherwise.
class Worker {
 public:
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // 0 to count() - 1. Any thread.
  std::size_t index() const noexcept { return index_; }
  // The number of workers. Any thread.
  std::size_t count() const noexcept { return count_; }
  // "worker-0". Any thread.
  const std::string& name() const noexcept { return name_; }
  // Valid while its main runs.
  EventLoop& loop() const noexcept { return *loop_; }
  // Requests the cancellation of all mains, its own included, as SIGTERM does. Only the first request has an
  // effect. Any thread, while run_workers() runs.
  void cancel_all() const noexcept;

 private:
  friend class detail::WorkerThreads;
  Worker(detail::WorkerThreads& threads, std::size_t index, std::size_t count, std::string name)
      : threads_(threads), index_(index), count_(count), name_(std::move(name)) {}

  detail::WorkerThreads& threads_;
  std::size_t index_;
  std::size_t count_;
  std::string name_;
  EventLoop* loop_ = nullptr;
};

namespace detail {

// What one worker runs. Made, run and destroyed on its thread.
struct WorkerMain {
  virtual ~WorkerMain() = default;
  virtual void run(Runner& runner) = 0;
};
struct WorkerMains {
  virtual std::unique_ptr<WorkerMain> make(Worker& worker) = 0;

 protected:
  ~WorkerMains() = default;
};

// Called at the beginning of a main task.
void worker_main_begins(Worker& worker);
std::size_t count_of_workers(const WorkersOptions& options);
void run_worker_threads(WorkerMains& mains, const WorkersOptions& options, bool has_results);

template <class Main>
concept WorkerFunction = std::invocable < std::decay_t<Main>
&, Worker& > ;

template <class Main>
class TypedMains final : public WorkerMains {
  using Called = std::invoke_result_t<Main&, Worker&>;

 public:
  using R = Awaited<Called>;
  static_assert(
      std::copy_constructible<Main>,
      "run_workers() gives each worker its own copy of the function: let it capture by reference, or "
      "a std::shared_ptr, what cannot be copied");
  static_assert(!std::is_reference_v<R>, "the main of a worker returns void or a value");

  TypedMains(const Main& main, std::size_t count) : main_(main), results_(count) {}
  std::unique_ptr<WorkerMain> make(Worker& worker) override { return std::make_unique<One>(*this, worker); }
  std::vector<R> results() && requires(!std::is_void_v<R>) {
    std::vector<R> all;
    all.reserve(results_.size());
    for (std::optional<R>& result : results_) all.push_back(std::move(*result));
    return all;
  }

 private:
  struct One final : WorkerMain {
    One(TypedMains& all, Worker& its_worker) : main(all.main_), mains(all), worker(its_worker) {}
    void run(Runner& runner) override {
      if constexpr (IsCoro<Called>::value) {
        run_and_keep(runner, [this]() -> Coro<R> {
          worker_main_begins(worker);
          co_return co_await std::invoke(main, worker);
        });
      } else {
        run_and_keep(runner, [this]() -> R {
          worker_main_begins(worker);
          return std::invoke(main, worker);
        });
      }
    }
    template <class Call>
    void run_and_keep(Runner& runner, Call call) {
      if constexpr (std::is_void_v<R>) {
        runner.run(std::move(call));
      } else {
        mains.results_[worker.index()].emplace(runner.run(std::move(call)));
      }
    }
    Main main;
    TypedMains& mains;
    Worker& worker;
  };

  const Main& main_;
  std::vector<std::optional<Unvoid<R>>> results_;  // each is written by its worker
};

template <class Main>
using WorkersResult =
    std::conditional_t<std::is_void_v<Awaited<std::invoke_result_t<std::decay_t<Main>&, Worker&>>>, void,
                       std::vector<Unvoid<Awaited<std::invoke_result_t<std::decay_t<Main>&, Worker&>>>>>;

}  // namespace detail

// Runs main(worker) as the main task of each of several new loops, each on a new thread, and waits until all
// have ended. `main` is a function or a coroutine function. Each worker calls its own copy. Gives the results
// in order of the workers, or void. When a main has ended, its loop is cleaned up as by run(), and its thread
// ends.
//
// The first main that fails cancels the others, once, and its exception is thrown when all have ended. Errors
// that come after it go to the exception handlers of their loops. A SIGINT cancels all mains, once; if any of
// them then ends cancelled, KeyboardInterrupt is thrown. A second SIGINT leaves all loops at their next step.
// A SIGTERM cancels all mains, once, and is an ordinary end: run_workers() returns, so that the program can
// clean up and exit with success. If mains have results and any of them ended cancelled, it throws
// SystemExit(128 + SIGTERM). So does a second SIGTERM, which leaves all loops at their next step.
// Worker::cancel_all() is the same as the first without a signal, and then CancelledError is thrown.
// Threads: any that runs no loop; it blocks. Errors: those above; RuntimeError from inside a running loop;
// std::system_error: no thread or loop could be made.
template <detail::WorkerFunction Main>
detail::WorkersResult<Main> run_workers(Main&& main, WorkersOptions options = {}) {
  using Mains = detail::TypedMains<std::decay_t<Main>>;
  options.loops = detail::count_of_workers(options);
  const std::decay_t<Main>& original = main;
  Mains mains(original, options.loops);
  constexpr bool has_results = !std::is_void_v<typename Mains::R>;
  detail::run_worker_threads(mains, options, has_results);
  if constexpr (has_results) return std::move(mains).results();
}
// For a function that is not called with a Worker: says so.
template <class Main>
requires(!detail::WorkerFunction<Main>) void run_workers(Main&&, WorkersOptions = {}) {
  static_assert(detail::WorkerFunction<Main>,
                "run_workers() calls its function with the worker: run_workers([](Worker& worker) { ... })");
}

namespace detail {

// The right to hand a call to a worker's loop: the loop stays open meanwhile.
class WorkerEntry {
 public:
  // `index` absent: the worker with the fewest calls. RuntimeError: closed; ValueError: no such worker.
  WorkerEntry(WorkerThreads& threads, std::optional<std::size_t> index);
  ~WorkerEntry();
  WorkerEntry(const WorkerEntry&) = delete;
  WorkerEntry& operator=(const WorkerEntry&) = delete;

  EventLoop& loop() const noexcept { return *loop_; }
  // Counts as one call until it is destroyed.
  std::shared_ptr<void> load() const;

 private:
  runtime::HooksOff hooks_off_;
  void* slot_;
  EventLoop* loop_;
};

// A call of the pool.
template <class Call>
struct WorkerCall {
  Call call;
  std::shared_ptr<void> load;  // counted while the call exists
  decltype(auto) operator()() { return call(); }
  EntryInfo entry() const noexcept { return call.entry(); }
};

}  // namespace detail

// A pool of loops, each on its own thread, to which the tasks of other loops hand calls. A call is a task of
// one of the pool's loops: it may await, and many share a loop.
// Threads: submit() is for tasks and callbacks of any loop; the others for any thread.
class Workers {
 public:
  // Starts the threads, and returns when all loops run. `signals` has no effect: the pool handles none.
  // Errors: std::system_error: no thread or loop could be made.
  explicit Workers(WorkersOptions options = {});
  // As close(). A task of the pool must not run it: that ends the program.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // The number of loops.
  std::size_t size() const noexcept;

  // Calls fn(args...) as a task of the worker with the fewest unfinished calls. The call begins whether or
  // not the result is awaited. Arguments are decay-copied; they, the result and the exception move from
  // thread to thread. `fn` may be a coroutine function. Cancelling the future (or the task that awaits it)
  // requests the cancellation of the task there; nothing waits for its end. When the pool closes first, the
  // future is cancelled. Errors: RuntimeError: no loop runs in this thread, or the pool is closed.
  template <class F, class... Args>
  Future<detail::Awaited<detail::CallResult<F, Args...>>> submit(F&& fn, Args&&... args) {
    return submit_call(std::nullopt, detail::entry_of(fn),
                       detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // The same for the worker with this index. ValueError: no such worker.
  template <class F, class... Args>
  Future<detail::Awaited<detail::CallResult<F, Args...>>> submit_to(std::size_t worker, F&& fn,
                                                                    Args&&... args) {
    return submit_call(worker, detail::entry_of(fn),
                       detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // The number of calls that have not ended.
  std::size_t unfinished() const noexcept;

  // Takes no more calls, cancels those that have not ended, waits for them, and ends the threads. Blocks the
  // thread. A second call does nothing. To let calls end, await them first. RuntimeError from a task of the
  // pool.
  void close();
  // The same, and suspends the task instead of the thread. Cancellation: a cancellation point; the closing
  // goes on.
  Coroutine<void> aclose();

 private:
  template <class Call>
  auto submit_call(std::optional<std::size_t> worker, detail::EntryInfo called, Call call) {
    using R = detail::Awaited<std::invoke_result_t<Call&>>;
    EventLoop& here = get_running_loop();
    const concurrent::Future<R> outcome = [&] {
      const detail::WorkerEntry entry(*threads_, worker);
      return run_coroutine_threadsafe(detail::WorkerCall<Call>{std::move(call), entry.load()}, entry.loop());
    }();
    try {
      return detail::follow(outcome, here, detail::Claim::kMove, called.address);
    } catch (...) {
      outcome.cancel();
      throw;
    }
  }

  std::shared_ptr<detail::WorkerThreads> threads_;
};

}  // namespace aiofiber
