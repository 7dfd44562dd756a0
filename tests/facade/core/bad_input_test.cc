// SPDX-License-Identifier: Apache-2.0
//
// Misuse of the API: each misuse gives a clear error with a remedy, and the loop goes on.
// Labels: long
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// The message of the E that fn throws; fails the test when it throws nothing or something else.
template <class E, class F>
std::string message_of(F fn) {
  try {
    fn();
  } catch (const E& error) {
    return error.what();
  } catch (...) {
    ADD_FAILURE() << "threw " << repr(std::current_exception());
    return {};
  }
  ADD_FAILURE() << "threw nothing";
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Await, OutsideALoopNamesTheRemedy) {
  const std::string text = message_of<RuntimeError>([] { await([] {}); });
  EXPECT_TRUE(contains(text, "no event loop runs in this thread")) << text;
  EXPECT_TRUE(contains(text, "asyncio::run()")) << text;
}

TEST(Await, InACallbackNamesTheRemedy) {
  run_in_loop([] {
    std::string text;
    get_running_loop().call_soon([&] { text = message_of<RuntimeError>([] { await([] {}); }); });
    await(sleep(0s));
    EXPECT_TRUE(contains(text, "create_task()")) << text;
  });
}

// Without an exception and without a value they would have nothing to give.
TEST(Result, OfANullExceptionIsRefused) {
  const std::string text =
      message_of<TypeError>([] { static_cast<void>(Result<int>(std::exception_ptr())); });
  EXPECT_TRUE(contains(text, "null")) << text;
}

TEST(ConcurrentFuture, ANullExceptionIsRefusedAndEndsNothing) {
  const concurrent::Future<int> future;
  const std::string text = message_of<TypeError>([&] { future.set_exception(std::exception_ptr()); });
  EXPECT_TRUE(contains(text, "null")) << text;
  EXPECT_FALSE(future.done());
  future.set_result(7);
  EXPECT_EQ(future.result(), 7);
}

TEST(Await, OfAFutureOfAnotherLoopIsRefused) {
  testing::TestLoop other;
  run_in_loop([&] {
    auto foreign = other.create_future<int>();
    const std::string text = message_of<RuntimeError>([&] { await(foreign); });
    EXPECT_TRUE(contains(text, "attached to a different loop")) << text;
  });
  other.close();
}

TEST(Await, OfOneselfIsRefused) {
  run_in_loop([] {
    Task<> self;
    self = create_task([&] {
      const std::string text = message_of<RuntimeError>([&] { await(self); });
      EXPECT_TRUE(contains(text, "Task cannot await on itself")) << text;
    });
    await(create_task([&] { await(self); }));
  });
}

TEST(Future, RefusesASecondResultAndAnEarlyOne) {
  run_in_loop([] {
    auto future = get_running_loop().create_future<int>();
    EXPECT_EQ(message_of<InvalidStateError>([&] { static_cast<void>(future.result()); }),
              "Result is not set.");
    EXPECT_EQ(message_of<InvalidStateError>([&] { static_cast<void>(future.exception()); }),
              "Exception is not set.");
    future.set_result(1);
    EXPECT_THROW(future.set_result(2), InvalidStateError);
    EXPECT_THROW(future.set_exception(std::runtime_error("late")), InvalidStateError);
    EXPECT_EQ(future.result(), 1);
  });
}

TEST(Future, AnEmptyHandleSaysSo) {
  const Future<int> empty;
  EXPECT_TRUE(contains(message_of<RuntimeError>([&] { static_cast<void>(empty.done()); }), "empty"));
}

TEST(Future, RefusesANullException) {
  run_in_loop([] {
    auto future = get_running_loop().create_future<int>();
    EXPECT_THROW(future.set_exception(std::exception_ptr()), TypeError);
    EXPECT_FALSE(future.done());
  });
}

TEST(Duration, RefusesNanAndSaturates) {
  EXPECT_THROW(Duration(std::chrono::duration<double>(std::nan(""))), ValueError);
  const Duration forever = std::chrono::duration<double>(std::numeric_limits<double>::infinity());
  EXPECT_EQ(forever, Duration::max());
  EXPECT_EQ(Duration(std::chrono::hours::max()), Duration::max());
  EXPECT_LT(Duration(-std::chrono::duration<double>(std::numeric_limits<double>::infinity())), Duration(0s));
}

TEST(Sleep, ANegativeOneIsOnePassAndAHugeOneCanBeCancelled) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    const TimePoint start = loop.time();
    await(sleep(-5s));
    EXPECT_EQ(loop.time(), start);
    auto task = create_task([] { await(sleep(Duration::max())); });
    await(sleep(0s));
    task.cancel();
    EXPECT_THROW(await(task), CancelledError);
  });
}

TEST(Reader, RefusesDescriptorsThatAreNotOpen) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ::close(ends[0]);
    ::close(ends[1]);
    for (const int fd : {-1, ends[0], std::numeric_limits<int>::max()}) {
      try {
        loop.add_reader(fd, [] {});
        ADD_FAILURE() << "took descriptor " << fd;
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), EBADF);
      }
      EXPECT_FALSE(loop.remove_reader(fd));
    }
  });
}

TEST(Loop, RefusesToRunInsideItselfOrToCloseWhileRunning) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    EXPECT_EQ(message_of<RuntimeError>([&] { loop.run_forever(); }), "This event loop is already running");
    EXPECT_EQ(message_of<RuntimeError>([&] { loop.close(); }), "Cannot close a running event loop");
    EXPECT_EQ(message_of<RuntimeError>([] { run([] {}); }),
              "asyncio.run() cannot be called from a running event loop");
    testing::TestLoop other;
    EXPECT_EQ(message_of<RuntimeError>([&] { other.run_forever(); }),
              "Cannot run the event loop while another loop is running");
    other.close();
  });
}

TEST(Loop, AClosedOneRefusesWork) {
  testing::TestLoop loop;
  loop.close();
  loop.close();  // again: nothing
  EXPECT_EQ(message_of<RuntimeError>([&] { loop.call_soon([] {}); }), "Event loop is closed");
  EXPECT_EQ(message_of<RuntimeError>([&] { static_cast<void>(loop.create_task([] {})); }),
            "Event loop is closed");
  EXPECT_EQ(message_of<RuntimeError>([&] { loop.run_forever(); }), "Event loop is closed");
}

TEST(CreateTask, RefusesImpossibleStacksAndTakesTinyOnes) {
  run_in_loop([] {
    EXPECT_THROW(static_cast<void>(create_task({.stack_size = std::size_t{1} << 40}, [] {})),
                 std::length_error);
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100'001}}) {
      EXPECT_EQ(await(create_task({.stack_size = bytes}, [] { return 7; })), 7);
    }
  });
}

TEST(CreateTask, RefusesAnEmptyCallable) {
  run_in_loop([] {
    EXPECT_THROW(static_cast<void>(create_task(std::function<void()>())), TypeError);
    void (*null_function)() = nullptr;
    EXPECT_THROW(static_cast<void>(create_task(null_function)), TypeError);
    EXPECT_THROW(get_running_loop().call_soon(std::function<void()>()), TypeError);
  });
}

// Refuses every mmap, as a process at its limit of address space.
class NoMemory final : public runtime::FaultPlan {
 public:
  NoMemory() noexcept { runtime::current_fault_plan = this; }
  ~NoMemory() override { runtime::current_fault_plan = nullptr; }
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
  int fail(const char* call) noexcept override { return std::string_view(call) == "mmap" ? ENOMEM : 0; }
};

TEST(CreateTask, OutOfStacksIsAnErrorOfTheTaskAndTheLoopGoesOn) {
  run_in_loop([] {
    std::string text;
    {
      const NoMemory no_memory;
      // A size that nothing has used yet, so that its first stack needs a reservation.
      auto task = create_task({.stack_size = std::size_t{8} << 20}, [] {});
      text = message_of<std::bad_alloc>([&] { await(task); });
    }
    EXPECT_TRUE(contains(text, "stack")) << text;
    EXPECT_EQ(await(create_task({.stack_size = std::size_t{8} << 20}, [] { return 1; })), 1);
  });
}

TEST(Gather, OfNothingIsDoneAndOfTheSameTwiceRunsOnce) {
  run_in_loop([] {
    EXPECT_TRUE(await(gather(std::vector<Task<int>>())).empty());
    int runs = 0;
    auto task = create_task([&] { return ++runs; });
    EXPECT_EQ(await(gather(std::vector{task, task})), (std::vector{1, 1}));
    EXPECT_EQ(runs, 1);
  });
}

TEST(Task, CarriesExceptionsThatAreNotStdException) {
  run_in_loop([] {
    auto task = create_task([] { throw 42; });
    try {
      await(task);
      ADD_FAILURE() << "threw nothing";
    } catch (int value) {
      EXPECT_EQ(value, 42);
    }
  });
}

TEST(Callback, ExceptionsOfAnyKindReachTheHandlerAndTheLoopGoesOn) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    int reports = 0;
    loop.set_exception_handler([&](EventLoop&, const ExceptionContext&) { ++reports; });
    loop.call_soon([] { throw 1; });
    loop.call_soon([] { throw std::runtime_error("two"); });
    loop.call_soon([] { throw CancelledError(); });
    await(sleep(0s));
    await(sleep(0s));
    EXPECT_EQ(reports, 3);
  });
}

// ---- destructors that throw

struct ThrowsWhenDestroyed {
  explicit ThrowsWhenDestroyed(bool& destroyed) : destroyed_(destroyed) {}
  ~ThrowsWhenDestroyed() noexcept(false) {
    destroyed_ = true;
    throw std::runtime_error("from a destructor");
  }
  bool& destroyed_;
};

// What a task's function or a callback captures must not throw when it is destroyed: that is a compile-time
// error.
TEST(ThrowingDestructor, OfALocalFailsTheTaskOnly) {
  run_in_loop([] {
    bool destroyed = false;
    auto failing = create_task([&] {
      const ThrowsWhenDestroyed guard(destroyed);
      await(sleep(1s));
    });
    auto other = create_task([] {
      await(sleep(2s));
      return 7;
    });
    EXPECT_THROW(await(failing), std::runtime_error);
    EXPECT_TRUE(destroyed);
    EXPECT_EQ(await(other), 7);
  });
}

TEST(ThrowingDestructor, OfALocalOfACallbackReachesTheHandler) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    std::string report;
    loop.set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { report = context.message; });
    bool destroyed = false;
    loop.call_soon([&] { const ThrowsWhenDestroyed guard(destroyed); });
    await(sleep(0s));
    EXPECT_TRUE(destroyed);
    EXPECT_TRUE(report.starts_with("Exception in callback")) << report;
  });
}

TEST(ThrowingDestructor, WhileACancellationPassesReplacesIt) {
  run_in_loop([] {
    bool destroyed = false;
    auto task = create_task([&] {
      try {
        await(sleep(1h));
      } catch (const CancelledError&) {
        const ThrowsWhenDestroyed guard(destroyed);
      }
    });
    await(sleep(0s));
    task.cancel();
    EXPECT_THROW(await(task), std::runtime_error);
    EXPECT_FALSE(task.cancelled());
  });
}

// ---- suspending in odd places ---------------------------------------------------------------------------

TEST(Suspend, InACatchBlockKeepsTheTasksOwnException) {
  run_in_loop([] {
    auto body = [](const char* text) {
      try {
        throw std::runtime_error(text);
      } catch (const std::runtime_error&) {
        await(sleep(1s));
        try {
          throw;  // must be ours, though the other task threw meanwhile
        } catch (const std::runtime_error& again) {
          return std::string(again.what());
        }
      }
    };
    auto [a, b] = await(gather([&] { return body("a"); }, [&] { return body("b"); }));
    EXPECT_EQ(a, "a");
    EXPECT_EQ(b, "b");
  });
}

struct SleepsWhenDestroyed {
  ~SleepsWhenDestroyed() {
    await(sleep(1s));
    finished = true;
  }
  bool& finished;
};

TEST(Suspend, InADestructorDuringUnwindingWorks) {
  run_in_loop([] {
    bool finished = false;
    auto task = create_task([&] {
      const SleepsWhenDestroyed guard{finished};
      throw std::runtime_error("unwinding");
    });
    EXPECT_THROW(await(task), std::runtime_error);
    EXPECT_TRUE(finished);
  });
}

TEST(Suspend, ACancellationInADestructorWaitsForALegalPlace) {
  run_in_loop([] {
    bool finished = false;
    bool raised_later = false;
    auto task = create_task([&] {
      { const SleepsWhenDestroyed guard{finished}; }
      try {
        await(sleep(1h));
      } catch (const CancelledError&) {
        raised_later = true;
        throw;
      }
    });
    await(sleep(500ms));
    EXPECT_TRUE(task.cancel());
    EXPECT_THROW(await(task), CancelledError);
    EXPECT_TRUE(finished);
    EXPECT_TRUE(raised_later);
  });
}

TEST(Suspend, InsideQsortWorks) {
  run_in_loop([] {
    auto sort = [](std::vector<int> numbers) {
      std::qsort(numbers.data(), numbers.size(), sizeof(int), [](const void* a, const void* b) {
        await(sleep(1ms));
        return *static_cast<const int*>(a) - *static_cast<const int*>(b);
      });
      return numbers;
    };
    auto [a, b] = await(gather([&] { return sort({3, 1, 2}); }, [&] { return sort({9, 8, 7, 6}); }));
    EXPECT_EQ(a, (std::vector{1, 2, 3}));
    EXPECT_EQ(b, (std::vector{6, 7, 8, 9}));
  });
}

}  // namespace
}  // namespace aiofiber
