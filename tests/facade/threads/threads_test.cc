// SPDX-License-Identifier: Apache-2.0
//
// Executors, to_thread, run_coroutine_threadsafe and wrap_future. Threads synchronize by events, never by
// time.
// Labels: threads long
#include "aiofiber/threads.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <latch>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "aiofiber/concurrent.h"
#include "aiofiber/event.h"
#include "aiofiber/executor.h"
#include "aiofiber/sleep.h"

namespace {
// The number of allocations of this thread until one fails; 0: none does.
constinit thread_local int failing_allocation = 0;
}  // namespace

// Not inlined: the compiler would take the pairs apart and miss its own halves.
__attribute__((noinline)) void* operator new(std::size_t size) {
  if (failing_allocation > 0 && --failing_allocation == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// A loop that runs in a thread of its own until the end of the scope.
class LoopThread {
 public:
  LoopThread() : thread_([this] { loop.run_forever(); }) {}
  ~LoopThread() {
    loop.call_soon_threadsafe([this] { loop.stop(); });
    thread_.join();
    loop.close();
  }
  EventLoop loop;

 private:
  std::thread thread_;
};

TEST(Executor, RunsOnAThreadNamedAsAsyncioDoes) {
  EventLoop loop;
  const std::string name = loop.run_until_complete([&] {
    return await(loop.run_in_executor(nullptr, [] {
      char text[16] = "";
      ::pthread_getname_np(::pthread_self(), text, sizeof text);
      return std::string(text);
    }));
  });
  EXPECT_EQ(name, "asyncio_0");
  loop.close();
}

// Counts its copies, which may be made to fail.
struct Copied {
  Copied() = default;
  explicit Copied(bool fails) : fails_to_copy(fails) {}
  Copied(Copied&&) = default;
  Copied(const Copied& other) : copies(other.copies + 1), fails_to_copy(other.fails_to_copy) {
    if (fails_to_copy) throw std::bad_alloc();
  }
  int copies = 0;
  bool fails_to_copy = false;
};

TEST(Executor, MovesTheResultToTheTask) {
  EventLoop loop;
  loop.run_until_complete([&] {
    EXPECT_EQ(await(to_thread([] { return Copied(); })).copies, 0);
    EXPECT_EQ(await(loop.run_in_executor(nullptr, [] { return Copied(true); })).copies, 0);
  });
  loop.close();
}

TEST(Executor, AnErrorOfCopyingAResultGoesToTheWaitingTask) {
  EventLoop loop;
  ThreadPoolExecutor pool(1);
  loop.run_until_complete([&] {
    const concurrent::Future<Copied> shared = pool.submit([] { return Copied(true); });
    EXPECT_THROW(await(wrap_future(shared)), std::bad_alloc);
    aiofiber::await(aiofiber::sleep(0s));  // and the loop goes on
  });
  pool.shutdown(true);
  loop.close();
}

TEST(Executor, ShortageOfMemoryKeepsItsType) {
  EventLoop loop;
  loop.run_until_complete([&] {
    // Each allocation of the first call fails once, those of starting a thread too.
    bool done = false;
    for (int n = 1; !done; ++n) {
      ASSERT_LT(n, 100);
      ThreadPoolExecutor pool(1);
      try {
        failing_allocation = n;
        auto future = loop.run_in_executor(&pool, [] { return 1; });
        failing_allocation = 0;
        done = true;
        EXPECT_EQ(await(std::move(future)), 1);
      } catch (const std::bad_alloc&) {
        failing_allocation = 0;
      }
    }
  });
  loop.close();
}

TEST(Executor, CarriesExceptionsAndMoveOnlyResults) {
  EventLoop loop;
  loop.run_until_complete([&] {
    EXPECT_THROW(await(loop.run_in_executor(nullptr, [] { throw std::out_of_range("x"); })),
                 std::out_of_range);
    EXPECT_EQ(*await(loop.run_in_executor(
                  nullptr, [](int n) { return std::make_unique<int>(n); }, 4)),
              4);
  });
  loop.close();
}

TEST(Executor, NeverRunsWhatWasCancelledInTheQueue) {
  EventLoop loop;
  loop.set_default_executor(std::make_shared<ThreadPoolExecutor>(1));
  std::promise<void> gate;
  std::atomic<bool> ran = false;
  loop.run_until_complete([&] {
    auto first = loop.run_in_executor(nullptr, [opened = gate.get_future().share()] { opened.wait(); });
    auto second = loop.run_in_executor(nullptr, [&] { ran = true; });
    second.cancel();
    EXPECT_TRUE(second.cancelled());
    // Its done-callback, which tells the pool, is due in the next pass.
    await(create_task([] {}));
    gate.set_value();
    await(first);
    await(shutdown_default_executor(loop));
    EXPECT_THROW(static_cast<void>(loop.run_in_executor(nullptr, [] {})), RuntimeError);
  });
  EXPECT_FALSE(ran);
  loop.close();
}

TEST(Executor, DropsAResultThatComesAfterTheLoopWasClosed) {
  std::promise<void> gate;
  ThreadPoolExecutor pool(1);
  {
    EventLoop loop;
    auto future = loop.run_in_executor(&pool, [opened = gate.get_future().share()] {
      opened.wait();
      return 1;
    });
    loop.close();
    EXPECT_FALSE(future.done());
  }
  gate.set_value();
  pool.shutdown(true);
  EXPECT_EQ(pool.unfinished(), 0u);
}

TEST(Executor, MustBeAThreadPoolToBecomeTheDefault) {
  EventLoop loop;
  EXPECT_THROW(loop.set_default_executor(nullptr), TypeError);
  loop.close();
}

// CPython: test_threads.py ToThreadTests.test_to_thread_concurrent
// A limit that no clock can hold is no limit, not one that has passed.
TEST(Executor, HugeLimitsAreNone) {
  for (const Duration limit :
       {Duration::max(), Duration(std::chrono::hours::max()), Duration(std::chrono::hours(24 * 365 * 200))}) {
    ThreadPoolExecutor pool(1);
    std::latch begun(1);
    std::promise<void> may_end;
    auto work = pool.submit([&] {
      begun.count_down();
      may_end.get_future().wait();
    });
    begun.wait();
    EXPECT_FALSE(pool.wait_idle(Duration()));
    EXPECT_FALSE(pool.wait_idle(-Duration::max().nanoseconds() * 1ns));
    std::thread ends([&] { may_end.set_value(); });
    EXPECT_TRUE(pool.wait_idle(limit));
    work.result(limit);
    ends.join();
  }
  EventLoop loop;
  std::atomic<bool> ended = false;
  loop.run_until_complete([&] {
    std::promise<void> may_end;
    auto work = loop.run_in_executor(nullptr, [&] {
      may_end.get_future().wait();
      ended = true;
    });
    loop.call_soon([&] { may_end.set_value(); });
    await(shutdown_default_executor(loop, std::chrono::hours::max()));
    EXPECT_TRUE(ended);
    await(work);
  });
  loop.close();
}

TEST(ToThread, RunsCallsConcurrently) {
  EventLoop loop;
  loop.run_until_complete([] {
    std::latch all(3);
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(create_task(to_thread([&] { all.arrive_and_wait(); })));
    for (auto& task : tasks) await(task);
  });
  loop.close();
}

ContextVar<int> variable("variable");

// CPython: test_threads.py ToThreadTests.test_to_thread_contextvars
TEST(ToThread, CarriesACopyOfTheContext) {
  EventLoop loop;
  loop.run_until_complete([&] {
    variable.set(7);
    EXPECT_EQ(await(to_thread([] {
                const int seen = variable.get();
                variable.set(8);
                return seen;
              })),
              7);
    EXPECT_EQ(variable.get(), 7);
    EXPECT_EQ(await(loop.run_in_executor(nullptr, [] { return variable.get(-1); })), -1);
  });
  loop.close();
}

// CPython: test_tasks.py RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe
TEST(RunCoroutineThreadsafe, AnErrorOfCopyingTheResultReachesTheOtherThread) {
  LoopThread thread;
  AnyTask kept;  // a second handle, so the result is copied
  auto future = run_coroutine_threadsafe(
      [&] {
        kept = *current_task();
        return Copied(true);
      },
      thread.loop);
  EXPECT_THROW(future.result(10s), std::bad_alloc);
  std::promise<void> dropped;
  thread.loop.call_soon_threadsafe([&] {
    kept = AnyTask();
    dropped.set_value();
  });
  dropped.get_future().wait();
}

TEST(RunCoroutineThreadsafe, BringsResultsAndErrorsBack) {
  LoopThread thread;
  EXPECT_EQ(run_coroutine_threadsafe([] { return 3; }, thread.loop).result(), 3);
  auto failed = run_coroutine_threadsafe([] { throw std::out_of_range("x"); }, thread.loop);
  EXPECT_THROW(failed.result(), std::out_of_range);
  EXPECT_NE(failed.exception(), nullptr);
}

TEST(RunCoroutineThreadsafe, CancelsTheTaskFromOutside) {
  LoopThread thread;
  std::promise<void> started;
  std::promise<void> cancelled;
  auto future = run_coroutine_threadsafe(
      [&] {
        Event never;
        started.set_value();
        try {
          await(never.wait());
        } catch (const CancelledError&) {
          cancelled.set_value();
          throw;
        }
      },
      thread.loop);
  started.get_future().wait();
  EXPECT_THROW(future.result(0s), TimeoutError);
  EXPECT_TRUE(future.cancel());
  cancelled.get_future().wait();
  EXPECT_THROW(future.result(), concurrent::CancelledError);
}

// CPython: test_tasks.py RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_task_cancelled
TEST(RunCoroutineThreadsafe, IsCancelledWithItsTask) {
  LoopThread thread;
  auto future = run_coroutine_threadsafe(
      [] {
        Event never;
        current_task()->cancel();
        await(never.wait());
      },
      thread.loop);
  EXPECT_THROW(future.result(), concurrent::CancelledError);
  EXPECT_TRUE(future.cancelled());
}

TEST(RunCoroutineThreadsafe, RunsCallbacksInTheLoopsThread) {
  Event go;  // dies after the loop's thread, to which it belongs
  LoopThread thread;
  std::promise<std::thread::id> where;
  auto id = run_coroutine_threadsafe(
      [&] {
        await(go.wait());
        return std::this_thread::get_id();
      },
      thread.loop);
  id.add_done_callback([&](const auto&) { where.set_value(std::this_thread::get_id()); });
  thread.loop.call_soon_threadsafe([&] { go.set(); });
  EXPECT_EQ(where.get_future().get(), id.result());
}

// CPython: test_futures.py test_wrap_future_cancel
TEST(WrapFuture, HandsCancellationOn) {
  EventLoop loop;
  loop.run_until_complete([&] {
    const concurrent::Future<int> source;
    auto wrapped = wrap_future(source);
    wrapped.cancel();
    await(create_task([] {}));
    EXPECT_TRUE(source.cancelled());
  });
  loop.close();
}

// CPython: test_futures.py test_wrap_future_cancel2
TEST(WrapFuture, StaysCancelledWhenTheSourceHasAResult) {
  EventLoop loop;
  loop.run_until_complete([&] {
    const concurrent::Future<int> source;
    auto wrapped = wrap_future(source);
    source.set_result(5);
    wrapped.cancel();
    await(create_task([] {}));
    EXPECT_TRUE(wrapped.cancelled());
    EXPECT_EQ(source.result(), 5);
    EXPECT_EQ(await(wrap_future(source)), 5);
  });
  loop.close();
}

TEST(ConcurrentFuture, IsSetOnce) {
  const concurrent::Future<int> future;
  EXPECT_TRUE(future.set_running_or_notify_cancel());
  EXPECT_FALSE(future.cancel());
  future.set_result(1);
  EXPECT_THROW(future.set_result(2), InvalidStateError);
  EXPECT_EQ(future.result(), 1);
}

}  // namespace
}  // namespace aiofiber
