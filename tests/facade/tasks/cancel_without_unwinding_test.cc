// SPDX-License-Identifier: Apache-2.0
//
// A cancelled task whose frames have nothing to clean up ends where it waits, without a throw. Nobody may see
// the difference: results, messages, callbacks, tracebacks, stacks. And no frame that has something to do is
// left out. Where the compiler gives a frame a clean-up (no optimization, some sanitizers), the same tests
// see a throw.
// Labels: long
#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "aiofiber/task_local.h"
#include "support/run_in_loop.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;
using Never = aio::Future<void>;

Never never() { return aio::get_running_loop().create_future<void>(); }

// Its frame has nothing to clean up.
__attribute__((noinline)) void wait_plainly(const Never& future) {
  await(future);
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) void call_it(const Never& future) {
  wait_plainly(future);
  asm volatile("" ::: "memory");
}

// Starts a task, lets it wait, and cancels it.
template <class F>
aio::Task<void> cancelled_task(F&& function, const std::string& message = {}) {
  auto task = aio::create_task(std::forward<F>(function));
  await(aio::sleep(0s));
  task.cancel(message);
  await(aio::wait({task}));
  return task;
}

TEST(CancelWithoutUnwinding, EndsTheTaskAsAThrowWould) {
  aio::run_in_loop([] {
    const Never future = never();
    std::vector<std::string> log;
    auto task = aio::create_task([&future] { call_it(future); });
    task.add_done_callback(
        [&log](const aio::Future<void>& done) { log.emplace_back(done.cancelled() ? "cancelled" : "?"); });
    await(aio::sleep(0s));
    EXPECT_TRUE(task.cancel("enough"));
    EXPECT_FALSE(task.done());
    await(aio::sleep(0s));
    EXPECT_TRUE(task.cancelled());
    await(aio::sleep(0s));
    EXPECT_EQ(log, std::vector<std::string>{"cancelled"});
    EXPECT_TRUE(future.cancelled());
    try {
      await(task);
      ADD_FAILURE();
    } catch (const aio::CancelledError& error) {
      EXPECT_EQ(error.message(), "enough");
    }
  });
}

TEST(CancelWithoutUnwinding, ThePlaceOfTheWaitIsInTheTraceback) {
  aio::run_in_loop([] {
    const Never future = never();
    auto task = aio::create_task([&future] { call_it(future); });
    await(aio::sleep(0s));
    future.set_result();  // so the request is raised by the task itself
    task.cancel("a message that is longer than what a string keeps inside");
    await(aio::wait({task}));
    EXPECT_TRUE(task.cancelled());
    std::vector<std::string> names;
    try {
      await(task);
    } catch (const aio::CancelledError&) {
      for (const auto& frame :
           aio::runtime::program_frames(aio::runtime::throw_trace(std::current_exception()))) {
        if (frame.function.starts_with("app::call_it") || frame.function.starts_with("app::wait_plainly"))
          names.push_back(frame.function.substr(0, frame.function.find('(')));
      }
    }
    EXPECT_EQ(names, (std::vector<std::string>{"app::call_it", "app::wait_plainly"}));
  });
}

TEST(CancelWithoutUnwinding, TheAwaitOfACancelledFutureEndsTheTask) {
  aio::run_in_loop([] {
    const Never future = never();
    auto task = aio::create_task([&future] { call_it(future); });
    await(aio::sleep(0s));
    future.cancel();
    await(aio::wait({task}));
    EXPECT_TRUE(task.cancelled());
  });
}

TEST(CancelWithoutUnwinding, AWaitThatReadsNoResultGoesOn) {
  aio::run_in_loop([] {
    const Never future = never();
    bool went_on = false;
    auto task = aio::create_task([&] {
      await(aio::wait({future}));
      went_on = true;
    });
    await(aio::sleep(0s));
    future.cancel();
    await(aio::wait({task}));
    EXPECT_TRUE(went_on);
    EXPECT_FALSE(task.cancelled());
  });
}

TEST(CancelWithoutUnwinding, StacksAndTasksAreGivenBack) {
  aio::run_in_loop([] {
    const auto& stacks = aio::runtime::Scheduler::current()->stacks();
    const std::size_t before = stacks.stacks_in_use();
    for (int wave = 0; wave < 3; ++wave) {
      const Never future = never();
      std::vector<aio::Task<void>> tasks;
      for (int i = 0; i < 100; ++i) tasks.push_back(aio::create_task([&future] { call_it(future); }));
      await(aio::sleep(0s));
      for (auto& task : tasks) task.cancel();
      await(aio::wait(tasks));
      for (auto& task : tasks) EXPECT_TRUE(task.cancelled());
      await(aio::sleep(0s));
      EXPECT_EQ(stacks.stacks_in_use(), before);
    }
    EXPECT_EQ(aio::all_tasks().size(), 1u);
  });
}

TEST(CancelWithoutUnwinding, ATaskThatWasCreatedBeforeRunsOnAStackOfItsOwn) {
  aio::run_in_loop([] {
    const Never future = never();
    auto task = aio::create_task([&future] { call_it(future); });
    await(aio::sleep(0s));
    task.cancel();
    // The loop runs the new tasks right after the cancelled one, which has left much on its stack.
    std::vector<aio::Task<int>> next;
    for (int i = 0; i < 10; ++i) next.push_back(aio::create_task([i] { return await(aio::sleep(0s, i)); }));
    for (int i = 0; i < 10; ++i) EXPECT_EQ(await(next[static_cast<std::size_t>(i)]), i);
    EXPECT_TRUE(task.cancelled());
  });
}

// ---- frames that have something to do

struct Guard {
  bool& ended;
  ~Guard() { ended = true; }
};

TEST(CancelWithoutUnwinding, NoDestructorIsLeftOut) {
  aio::run_in_loop([] {
    const Never future = never();
    bool ended = false;
    auto task = cancelled_task([&] {
      const Guard guard{ended};
      call_it(future);
    });
    EXPECT_TRUE(ended);
    EXPECT_TRUE(task.cancelled());
  });
}

TEST(CancelWithoutUnwinding, NoHandlerIsLeftOut) {
  aio::run_in_loop([] {
    const Never future = never();
    bool caught = false;
    auto task = cancelled_task([&] {
      try {
        call_it(future);
      } catch (const aio::CancelledError&) {
        caught = true;
      }
    });
    EXPECT_TRUE(caught);
    EXPECT_FALSE(task.cancelled());
  });
}

TEST(CancelWithoutUnwinding, AHandlerOfAnotherTypeDoesNotCatchIt) {
  aio::run_in_loop([] {
    const Never future = never();
    auto task = cancelled_task([&] {
      try {
        call_it(future);
      } catch (const std::exception&) {
        ADD_FAILURE();
      }
    });
    EXPECT_TRUE(task.cancelled());
  });
}

TEST(CancelWithoutUnwinding, AnExceptionThatIsBeingHandledIsDestroyed) {
  struct Counted {
    explicit Counted(int& number) : alive(&number) { ++*alive; }
    Counted(const Counted& other) : alive(other.alive) { ++*alive; }
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --*alive; }
    int* alive;
  };
  int alive = 0;
  aio::run_in_loop([&] {
    const Never future = never();
    auto task = cancelled_task([&] {
      try {
        throw Counted(alive);
      } catch (const Counted&) {
        EXPECT_EQ(alive, 1);
        call_it(future);
      }
    });
    EXPECT_TRUE(task.cancelled());
    await(aio::create_task([] { EXPECT_EQ(std::current_exception(), nullptr); }));
  });
  EXPECT_EQ(alive, 0);
}

TEST(CancelWithoutUnwinding, ANoexceptFrameKeepsTheRequest) {
  aio::run_in_loop([] {
    const Never future = never();
    bool went_on = false;
    auto task = aio::create_task([&] {
      const auto wait = [&]() noexcept {
        wait_plainly(future);
        asm volatile("" ::: "memory");
      };
      wait();
      went_on = true;
      call_it(never());
    });
    await(aio::sleep(0s));
    future.set_result();
    task.cancel();
    await(aio::wait({task}));
    EXPECT_TRUE(went_on);
    EXPECT_TRUE(task.cancelled());
  });
}

TEST(CancelWithoutUnwinding, TaskLocalsAreDestroyed) {
  bool ended = false;
  aio::run_in_loop([&] {
    static aio::TaskLocal<std::shared_ptr<Guard>> local;
    const Never future = never();
    auto task = cancelled_task([&] {
      *local = std::make_shared<Guard>(Guard{ended});
      ended = false;  // of the temporary
      call_it(future);
    });
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(ended);
  });
}

TEST(CancelWithoutUnwinding, ACoroutineThrowsWhereItWaits) {
  aio::run_in_loop([] {
    const Never future = never();
    bool caught = false, ended = false;
    const auto coroutine = [](const Never& awaited, bool& seen, bool& destroyed) -> aio::Coro<void> {
      const Guard guard{destroyed};
      try {
        co_await awaited;
      } catch (const aio::CancelledError& error) {
        seen = error.message() == "enough";
        throw;
      }
    };
    auto task = aio::create_task(coroutine(future, caught, ended));
    await(aio::sleep(0s));
    task.cancel("enough");
    await(aio::wait({task}));
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(caught && ended);
  });
}

}  // namespace app
