// SPDX-License-Identifier: Apache-2.0
//
// The thread pool, and its end: a pool that is dropped while it works is kept, and joined at exit.
#include "aiofiber/executor.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/offload.h"
#include "core/thread_wait.h"

namespace aiofiber {

namespace detail {

class ThreadPool {
 public:
  explicit ThreadPool(std::size_t max_workers) : threads_(max_workers) {}

  void execute(std::unique_ptr<Executor::Work> work) {
    auto job = std::make_unique<Job>(*this, std::move(work));
    {
      const std::lock_guard lock(mutex_);
      ++unfinished_;
    }
    try {
      threads_.submit(*job);
    } catch (const std::bad_alloc&) {
      job_ended();
      throw;
    } catch (const std::exception& error) {
      job_ended();
      throw RuntimeError(error.what());
    }
    static_cast<void>(job.release());  // it destroys itself when it has run
  }
  void shutdown(bool wait) noexcept { threads_.shutdown(wait); }
  std::size_t unfinished() const noexcept {
    const std::lock_guard lock(mutex_);
    return unfinished_;
  }
  // Blocks until no work runs; false: the timeout passed.
  bool wait_idle(std::optional<Duration> timeout) {
    std::unique_lock lock(mutex_);
    return wait_at_most(idle_, lock, timeout, [this] { return unfinished_ == 0; });
  }

 private:
  struct Job final : runtime::OffloadPool::Work {
    Job(ThreadPool& its_pool, std::unique_ptr<Executor::Work> its_work)
        : pool(its_pool), work(std::move(its_work)) {}
    void run() noexcept override { work->run(); }
    void done() noexcept override {
      ThreadPool& owner = pool;
      delete this;
      owner.job_ended();
    }
    ThreadPool& pool;
    std::unique_ptr<Executor::Work> work;
  };
  void job_ended() noexcept {
    const std::lock_guard lock(mutex_);
    if (--unfinished_ == 0) idle_.notify_all();
  }

  friend class Orphans;
  ThreadPool* next_orphan_ = nullptr;  // guarded by the Orphans

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t unfinished_ = 0;    // guarded by mutex_
  runtime::OffloadPool threads_;  // last: its threads end before the other members are destroyed
};

// Pools without an owner that still work. The destructor of a pool joins its threads: now if they are idle,
// else at exit. The list links the pools themselves, because a destructor must not need memory.
class Orphans {
 public:
  Orphans() = default;
  ~Orphans() {
    // The end of a pool may drop the last handle of another pool, which is then added here.
    for (;;) {
      ThreadPool* all = nullptr;
      {
        const std::lock_guard lock(mutex_);
        all = std::exchange(first_, nullptr);
      }
      if (all == nullptr) return;
      destroy(all);
    }
  }
  Orphans(const Orphans&) = delete;
  Orphans& operator=(const Orphans&) = delete;

  void adopt(std::unique_ptr<ThreadPool> pool) noexcept {
    pool->shutdown(false);
    ThreadPool* idle = nullptr;
    {
      const std::lock_guard lock(mutex_);
      pool->next_orphan_ = first_;
      first_ = pool.release();
      for (ThreadPool** at = &first_; *at != nullptr;) {
        ThreadPool& orphan = **at;
        if (orphan.unfinished() > 0) {
          at = &orphan.next_orphan_;
          continue;
        }
        *at = orphan.next_orphan_;
        orphan.next_orphan_ = idle;
        idle = &orphan;
      }
    }
    destroy(idle);
  }

 private:
  static void destroy(ThreadPool* first) noexcept {
    while (first != nullptr) {
      const std::unique_ptr<ThreadPool> pool(first);
      first = pool->next_orphan_;
    }
  }

  std::mutex mutex_;
  ThreadPool* first_ = nullptr;  // guarded by mutex_
};

namespace {

Orphans& orphans() {
  static Orphans instance;
  return instance;
}

}  // namespace

Executor& default_executor(LoopCore& core) {
  if (core.executor_was_shut_down) throw RuntimeError("Executor shutdown has been called");
  if (core.default_executor == nullptr) core.default_executor = std::make_shared<ThreadPoolExecutor>();
  return *core.default_executor;
}

}  // namespace detail

ThreadPoolExecutor::ThreadPoolExecutor(std::size_t max_workers)
    : pool_(std::make_unique<detail::ThreadPool>(
          max_workers > 0 ? max_workers
                          : std::min<std::size_t>(32, std::thread::hardware_concurrency() + 4))) {
  detail::orphans();  // made first, so that it is destroyed last
}

ThreadPoolExecutor::~ThreadPoolExecutor() { detail::orphans().adopt(std::move(pool_)); }

void ThreadPoolExecutor::execute(std::unique_ptr<Work> work) { pool_->execute(std::move(work)); }
void ThreadPoolExecutor::shutdown(bool wait) { pool_->shutdown(wait); }
std::size_t ThreadPoolExecutor::unfinished() const noexcept { return pool_->unfinished(); }

bool ThreadPoolExecutor::wait_idle(std::optional<Duration> timeout) { return pool_->wait_idle(timeout); }

void EventLoop::set_default_executor(std::shared_ptr<Executor> executor) {
  core_->check_open();
  if (dynamic_cast<ThreadPoolExecutor*>(executor.get()) == nullptr) {
    throw TypeError("executor must be ThreadPoolExecutor instance");
  }
  core_->default_executor = std::move(executor);
}

Coroutine<void> shutdown_default_executor(EventLoop& loop, std::optional<Duration> timeout) {
  return Coroutine<void>([&loop, timeout] {
    detail::LoopCore& core = loop.core();
    core.executor_was_shut_down = true;
    const std::shared_ptr<Executor> executor = core.default_executor;
    if (executor == nullptr) return;
    auto* pool = dynamic_cast<ThreadPoolExecutor*>(executor.get());
    if (pool == nullptr || pool->unfinished() == 0) {
      executor->shutdown(true);
      return;
    }
    // A separate thread waits for the others. It shares the ownership, because it may outlive a cancelled
    // wait.
    const concurrent::Future<bool> idle;
    std::thread([executor, pool, idle, timeout] {
      if (idle.set_running_or_notify_cancel()) idle.set_result(pool->wait_idle(timeout));
    }).detach();
    if (await(wrap_future(idle, &loop))) {
      executor->shutdown(true);
      return;
    }
    detail::log(LogLevel::WARNING,
                absl::StrCat("RuntimeWarning: The executor did not finishing joining its threads within ",
                             static_cast<std::int64_t>(timeout->seconds()), " seconds."));
    executor->shutdown(false);
  });
}

Coroutine<void> EventLoop::shutdown_default_executor() { return aiofiber::shutdown_default_executor(*this); }

}  // namespace aiofiber
