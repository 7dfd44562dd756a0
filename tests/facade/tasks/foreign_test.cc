// SPDX-License-Identifier: Apache-2.0
//
// Other people's coroutines: a small foreign task type awaits futures, and foreign awaitables are awaited in
// coroutines and in fibers, resumed on the loop's thread and on others.
// Labels: threads clang long
#include <gtest/gtest.h>

#include <coroutine>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/log.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;

// A coroutine type as another library may have it: it begins at once, keeps its result, and can be awaited.
template <class T>
class ForeignTask {
 public:
  struct promise_type {
    ForeignTask get_return_object() {
      return ForeignTask(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct Final {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
          return self.promise().waiting ? self.promise().waiting : std::noop_coroutine();
        }
        void await_resume() noexcept {}
      };
      return Final{};
    }
    void return_value(T result) { value = std::move(result); }
    void unhandled_exception() { error = std::current_exception(); }
    std::optional<T> value;
    std::exception_ptr error;
    std::coroutine_handle<> waiting;
  };
  explicit ForeignTask(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  ForeignTask(ForeignTask&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ForeignTask& operator=(ForeignTask&&) = delete;
  ~ForeignTask() {
    if (handle_) handle_.destroy();
  }
  bool done() const { return handle_.done(); }
  auto operator co_await() noexcept {
    struct Wait {
      std::coroutine_handle<promise_type> task;
      bool await_ready() const { return task.done(); }
      void await_suspend(std::coroutine_handle<> waiting) const { task.promise().waiting = waiting; }
      T await_resume() const {
        if (task.promise().error) std::rethrow_exception(task.promise().error);
        return std::move(*task.promise().value);
      }
    };
    return Wait{handle_};
  }

 private:
  std::coroutine_handle<promise_type> handle_;
};

// An awaiter whose handle the test resumes.
struct Door {
  std::coroutine_handle<> waiting;
  int value = 0;
  struct Wait {
    Door& door;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const { door.waiting = coroutine; }
    int await_resume() const { return door.value; }
  };
  Wait wait() { return Wait{*this}; }
  void open(int with) {
    value = with;
    std::exchange(waiting, nullptr).resume();
  }
};

// Goes on in a new thread.
struct InNewThread {
  std::thread& thread;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) const {
    thread = std::thread([coroutine] { coroutine.resume(); });
  }
  int await_resume() const { return 5; }
};

ForeignTask<int> sum_of(Future<int> one, Task<int> two) {
  const int first = co_await one;
  const int second = co_await std::move(two);
  co_return first + second;
}

TEST(ForeignCoroutine, AwaitsFuturesAndTasks) {
  run_in_loop([] {
    auto future = get_running_loop().create_future<int>();
    ForeignTask<int> sum = sum_of(future, create_task([] { return after(1s, 2); }));
    EXPECT_FALSE(sum.done());
    future.set_result(1);
    EXPECT_FALSE(sum.done()) << "it goes on by the loop";
    EXPECT_EQ(await(sum), 3);
  });
}

TEST(ForeignCoroutine, AwaitsCoroutineObjects) {
  run_in_loop([] {
    auto work = []() -> ForeignTask<int> {
      const int first = co_await []() -> Coro<int> {
        co_await sleep(1s);
        co_return 1;
      }();
      co_return first + co_await sleep(1s, 2);
    };
    ForeignTask<int> task = work();
    EXPECT_EQ(await(task), 3);
  });
}

TEST(ForeignCoroutine, GetsTheErrorsOfAFuture) {
  run_in_loop([] {
    auto work = [](Future<int> future) -> ForeignTask<std::string> {
      try {
        co_await future;
      } catch (const ValueError& error) {
        co_return error.what();
      }
      co_return "";
    };
    auto future = get_running_loop().create_future<int>();
    ForeignTask<std::string> task = work(future);
    future.set_exception(ValueError("boom"));
    EXPECT_EQ(await(task), "boom");
  });
}

TEST(ForeignCoroutine, MayBeDestroyedWhileItWaits) {
  run_in_loop([] {
    auto future = get_running_loop().create_future<int>();
    auto other = create_task([] { return after(1h, 2); });
    { const ForeignTask<int> waiting = sum_of(future, other); }
    {
      const ForeignTask<int> scheduled = sum_of(future, other);
      future.set_result(1);
    }
    await(sleep(0s));
    other.cancel();
  });
}

TEST(ForeignAwaitable, IsAwaitedInACoroutine) {
  run_in_loop([]() -> Coro<> {
    Door door;
    get_running_loop().call_later(1s, [&] { door.open(4); });
    EXPECT_EQ(co_await door.wait(), 4);
    auto named = door.wait();
    get_running_loop().call_soon([&] { door.open(5); });
    EXPECT_EQ(co_await named, 5);
  });
}

TEST(ForeignAwaitable, IsAwaitedInAFiberAndTakenByTheCombinators) {
  run_in_loop([] {
    Door first, second;
    get_running_loop().call_later(1s, [&] { first.open(4); });
    EXPECT_EQ(await(first.wait()), 4);
    get_running_loop().call_later(2s, [&] { first.open(5); });
    get_running_loop().call_later(1s, [&] { second.open(6); });
    auto [a, b] = await(gather(first.wait(), second.wait()));
    EXPECT_EQ(a + b, 11);
    get_running_loop().call_later(1s, [&] { first.open(7); });
    EXPECT_EQ(await(wait_for(first.wait(), 2s)), 7);
  });
}

TEST(ForeignAwaitable, OfAnotherThreadComesBackToTheLoopsThread) {
  const auto body = []() -> Coro<> {
    const std::thread::id home = std::this_thread::get_id();
    for (int i = 0; i < 20; ++i) {
      std::thread thread;
      EXPECT_EQ(co_await InNewThread{thread}, 5);
      EXPECT_EQ(std::this_thread::get_id(), home);
      thread.join();
    }
  };
  run(body);
  run([&] { await(body); });
}

TEST(Coro, IsSubmittedByAnotherThread) {
  EventLoop loop;
  concurrent::Future<int> result;
  std::thread thread([&] {
    auto work = []() -> Coro<int> {
      co_await sleep(1ms);
      co_return 6;
    };
    result = run_coroutine_threadsafe(work(), loop);
    auto function = run_coroutine_threadsafe(work, loop);
    EXPECT_EQ(result.result() + function.result(), 12);
    loop.call_soon_threadsafe([&] { loop.stop(); });
  });
  loop.run_forever();
  thread.join();
  loop.close();
}

TEST(Coro, IsRunByARunner) {
  Runner runner;
  EXPECT_EQ(runner.run([]() -> Coro<int> { co_return 1; }), 1);
  EXPECT_EQ(runner.run([]() -> Coro<int> { co_return 2; }()), 2);
}

TEST(ForeignAwaitable, IsNotCutShortByACancellation) {
  run_in_loop([] {
    Door door;
    bool went_on = false;
    auto task = create_task([&]() -> Coro<> {
      co_await door.wait();
      went_on = true;
    });
    await(sleep(0s));
    EXPECT_TRUE(task.cancel());
    await(sleep(1s));
    EXPECT_FALSE(task.done());
    door.open(1);
    await(ended(task));
    EXPECT_TRUE(task.cancelled());
    EXPECT_FALSE(went_on);
  });
}

// The awaiter forgets the handle when it is destroyed, as every awaiter must whose coroutine may be
// destroyed.
TEST(ForeignAwaitable, IsDestroyedWithItsTask) {
  Door door;
  TestLoop loop;
  auto task = loop.create_task([&]() -> Coro<> { co_await door.wait(); });
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  loop.run_until_complete([]() -> Coro<> { co_await sleep(0s); });
  loop.close();
  EXPECT_FALSE(task.done());
}

TEST(ForeignAwaitable, MayAnswerAtOnceInEachWay) {
  struct Ready {
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const { ADD_FAILURE(); }
    int await_resume() const { return 1; }
  };
  struct DoesNotSuspend {
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<>) const { return false; }
    int await_resume() const { return 2; }
  };
  struct GivesItBack {
    bool await_ready() const { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> coroutine) const { return coroutine; }
    int await_resume() const { return 3; }
  };
  struct ResumesInside {
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const { coroutine.resume(); }
    int await_resume() const { return 4; }
  };
  struct Throws {
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<>) const { throw ValueError("no"); }
    int await_resume() const { return 5; }
  };
  run_in_loop([]() -> Coro<> {
    EXPECT_EQ(co_await Ready(), 1);
    EXPECT_EQ(co_await DoesNotSuspend(), 2);
    EXPECT_EQ(co_await GivesItBack(), 3);
    EXPECT_EQ(co_await ResumesInside(), 4);
    EXPECT_THROW(co_await Throws(), ValueError);
  });
}

}  // namespace
}  // namespace aiofiber
