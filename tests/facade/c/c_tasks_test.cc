// SPDX-License-Identifier: Apache-2.0
//
// Tasks of <aiofiber.h>, on virtual time: results, waits, limits, cancellation as error codes, bad arguments.
//
// The functions are C++ here, for the sake of GoogleTest; c99_test is C. aiofiber.h comes first on purpose:
// its names must not disturb the other headers.
// Labels: long
#include <aiofiber.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// A function with what it writes, as an argument.
struct Argument {
  double seconds = 0;
  int code = 1;  // what its sleep returned
  int calls = 0;
  aiofiber_task other{};
};

void* sleeps(void* pointer) {
  auto& argument = *static_cast<Argument*>(pointer);
  ++argument.calls;
  argument.code = aiofiber_sleep(argument.seconds);
  return pointer;
}
void* returns_argument(void* pointer) { return pointer; }

aiofiber_task spawn(void* (*function)(void*), void* argument) {
  aiofiber_task task{};
  EXPECT_EQ(aiofiber_spawn(function, argument, nullptr, &task), 0);
  return task;
}
Duration now() { return get_running_loop().time().time_since_epoch(); }

TEST(CTask, GivesWhatItsFunctionReturns) {
  run_in_loop([] {
    int value = 0;
    void* result = nullptr;
    EXPECT_EQ(aiofiber_wait(spawn(returns_argument, &value), &result), 0);
    EXPECT_EQ(result, &value);
    EXPECT_EQ(aiofiber_wait(spawn(returns_argument, &value), nullptr), 0);
  });
}

TEST(CTask, SleepsOnTheLoopsClock) {
  run_in_loop([] {
    const Duration start = now();
    EXPECT_EQ(aiofiber_sleep(1.5), 0);
    EXPECT_EQ(now().nanoseconds() - start.nanoseconds(), 1'500'000'000);
    EXPECT_EQ(aiofiber_sleep(0), 0);
    EXPECT_EQ(aiofiber_sleep(-1), 0);
    EXPECT_EQ(aiofiber_sleep(std::nan("")), AIOFIBER_INVALID);
  });
}

TEST(CTask, LeavesErrnoAlone) {
  run_in_loop([] {
    Argument argument;
    const aiofiber_task task = spawn(
        [](void*) -> void* {
          errno = EBADF;
          return nullptr;
        },
        &argument);
    errno = ENOTTY;
    EXPECT_EQ(aiofiber_wait(task, nullptr), 0);
    EXPECT_EQ(errno, ENOTTY);
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_INVALID);
    EXPECT_EQ(errno, ENOTTY);
  });
}

TEST(CTask, HasANameAndAStackSize) {
  run_in_loop([] {
    aiofiber_task_options options = AIOFIBER_TASK_OPTIONS;
    options.name = "fetch";
    options.stack_size = 1 << 20;
    aiofiber_task task{};
    const auto look = [](void* names) -> void* {
      char name[4];
      EXPECT_EQ(aiofiber_name(name, sizeof name), 5);
      EXPECT_STREQ(name, "fet");
      EXPECT_EQ(aiofiber_name(nullptr, 0), 5);
      EXPECT_EQ(aiofiber_name(nullptr, 1), AIOFIBER_INVALID);
      EXPECT_EQ(aiofiber_set_name(nullptr), AIOFIBER_INVALID);
      EXPECT_EQ(aiofiber_set_name("parse"), 0);
      *static_cast<std::string*>(names) = current_task()->get_name();
      volatile char large[600'000];
      large[0] = 1;
      large[sizeof large - 1] = 1;
      return nullptr;
    };
    std::string name;
    ASSERT_EQ(aiofiber_spawn(look, &name, &options, &task), 0);
    EXPECT_EQ(aiofiber_wait(task, nullptr), 0);
    EXPECT_EQ(name, "parse");
  });
}

TEST(CTask, OptionsOfALaterVersionAreRefusedUnlessTheyAreZero) {
  run_in_loop([] {
    struct {
      aiofiber_task_options known = AIOFIBER_TASK_OPTIONS;
      long later = 0;
    } options;
    options.known.size = sizeof options;
    EXPECT_EQ(aiofiber_spawn(returns_argument, nullptr, &options.known, nullptr), 0);
    options.later = 1;
    EXPECT_EQ(aiofiber_spawn(returns_argument, nullptr, &options.known, nullptr), AIOFIBER_INVALID);
    options.known.size = 0;
    EXPECT_EQ(aiofiber_spawn(returns_argument, nullptr, &options.known, nullptr), AIOFIBER_INVALID);
    aiofiber_task_options too_large = AIOFIBER_TASK_OPTIONS;
    too_large.stack_size = std::numeric_limits<std::size_t>::max();
    EXPECT_EQ(aiofiber_spawn(returns_argument, nullptr, &too_large, nullptr), AIOFIBER_INVALID);
  });
}

TEST(CTask, ManyTasksMayWaitForOne) {
  run_in_loop([] {
    Argument argument{.seconds = 1};
    Argument waiters[2];
    waiters[0].other = waiters[1].other = spawn(sleeps, &argument);
    std::vector<aiofiber_task> tasks;
    for (Argument& waiter : waiters) {
      tasks.push_back(spawn(
          [](void* pointer) -> void* {
            void* result = nullptr;
            auto& self = *static_cast<Argument*>(pointer);
            self.code = aiofiber_wait(self.other, &result);
            return result;
          },
          &waiter));
    }
    void* results[2];
    EXPECT_EQ(aiofiber_gather(tasks.data(), 2, results, nullptr), 0);
    EXPECT_EQ(waiters[0].code, 0);
    EXPECT_EQ(waiters[1].code, 0);
    EXPECT_EQ(results[0], &argument);
    EXPECT_EQ(results[1], &argument);
  });
}

// ---- limits -----------------------------------------------------------------------------------------------

TEST(CWaitFor, GivesTheResultWithinTheLimit) {
  run_in_loop([] {
    Argument argument{.seconds = 1};
    void* result = nullptr;
    EXPECT_EQ(aiofiber_wait_for(spawn(sleeps, &argument), 2, &result), 0);
    EXPECT_EQ(result, &argument);
    EXPECT_EQ(argument.code, 0);
    argument.seconds = 1e9;
    EXPECT_EQ(aiofiber_wait_for(spawn(sleeps, &argument), INFINITY, nullptr), 0);
  });
}

TEST(CWaitFor, CancelsTheTaskAtTheLimitAndWaitsForItsEnd) {
  run_in_loop([] {
    Argument argument{.seconds = 5};
    void* result = nullptr;
    const Duration start = now();
    const aiofiber_task task = spawn(sleeps, &argument);
    EXPECT_EQ(aiofiber_wait_for(task, 2, &result), AIOFIBER_TIMED_OUT);
    EXPECT_EQ(now().nanoseconds() - start.nanoseconds(), 2'000'000'000);
    EXPECT_EQ(argument.code, AIOFIBER_CANCELLED);
    EXPECT_EQ(result, &argument) << "what it returned is not lost";
    EXPECT_EQ(aiofiber_done(task), AIOFIBER_INVALID) << "the handle has ended";
  });
}

TEST(CWaitFor, WithoutTimeCancelsAtOnceUnlessItHasEnded) {
  run_in_loop([] {
    Argument argument{.seconds = 5};
    EXPECT_EQ(aiofiber_wait_for(spawn(sleeps, &argument), 0, nullptr), AIOFIBER_TIMED_OUT);
    EXPECT_EQ(argument.calls, 1) << "the function owns its argument, so it is called";
    EXPECT_EQ(argument.code, AIOFIBER_CANCELLED);
    const aiofiber_task task = spawn(returns_argument, &argument);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_done(task), 1);
    EXPECT_EQ(aiofiber_wait_for(task, 0, nullptr), 0);
    EXPECT_EQ(aiofiber_wait_for(task, std::nan(""), nullptr), AIOFIBER_INVALID);
  });
}

TEST(CWaitFor, LeavesNoTimerBehind) {
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    Argument argument{.seconds = 1};
    EXPECT_EQ(aiofiber_wait_for(spawn(sleeps, &argument), 100, nullptr), 0);
    EXPECT_EQ(loop.live_timers(), 0U);
  });
  loop.close();
}

// ---- cancellation -----------------------------------------------------------------------------------------

TEST(CCancel, EndsTheWaitWithACodeAndTheTaskCancelled) {
  run_in_loop([] {
    Argument argument{.seconds = 5};
    const aiofiber_task task = spawn(sleeps, &argument);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_cancel(task), 0);
    EXPECT_EQ(aiofiber_done(task), 0);
    EXPECT_EQ(aiofiber_cancelled(task), 0);
    EXPECT_EQ(aiofiber_sleep(0), 0);
    EXPECT_EQ(aiofiber_done(task), 1);
    EXPECT_EQ(aiofiber_cancelled(task), 1);
    void* result = nullptr;
    EXPECT_EQ(aiofiber_wait(task, &result), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(result, &argument);
    EXPECT_EQ(argument.code, AIOFIBER_CANCELLED);
  });
}

TEST(CCancel, BeforeTheFirstStepCallsTheFunctionWithTheRequest) {
  run_in_loop([] {
    Argument argument{.seconds = 5};
    const aiofiber_task task = spawn(sleeps, &argument);
    EXPECT_EQ(aiofiber_cancel(task), 0);
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(argument.calls, 1);
    EXPECT_EQ(argument.code, AIOFIBER_CANCELLED);
  });
}

TEST(CCancel, OfATaskThatIsReadyEndsItsNextWait) {
  run_in_loop([] {
    Argument argument;
    const auto twice = [](void* pointer) -> void* {
      auto& self = *static_cast<Argument*>(pointer);
      EXPECT_EQ(aiofiber_sleep(1), 0);
      self.code = aiofiber_sleep(1);
      return nullptr;
    };
    argument.other = spawn(twice, &argument);
    // Due at the same time: the first task is ready, and has not run, when the second one cancels it.
    aiofiber_task canceller = spawn(
        [](void* pointer) -> void* {
          EXPECT_EQ(aiofiber_sleep(1), 0);
          EXPECT_EQ(aiofiber_cancel(static_cast<Argument*>(pointer)->other), 0);
          return nullptr;
        },
        &argument);
    EXPECT_EQ(aiofiber_wait(canceller, nullptr), 0);
    EXPECT_EQ(aiofiber_wait(argument.other, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(argument.code, AIOFIBER_CANCELLED);
  });
}

TEST(CCancel, FailsEachWaitUntilTheFunctionReturnsAndSlowsDownALoopThatIgnoresIt) {
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    Argument argument;
    const aiofiber_task task = spawn(
        [](void* pointer) -> void* {
          auto& self = *static_cast<Argument*>(pointer);
          while (self.calls < 200) {
            if (aiofiber_sleep(1) != 0) ++self.calls;
          }
          return nullptr;
        },
        &argument);
    EXPECT_EQ(aiofiber_sleep(0.5), 0);
    EXPECT_EQ(aiofiber_cancel(task), 0);
    const auto iterations = loop.iteration();
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(argument.calls, 200);
    EXPECT_GT(loop.iteration() - iterations, 100U) << "other tasks run between the refused waits";
  });
  loop.close();
}

TEST(CCancel, IsTakenBackByUncancel) {
  run_in_loop([] {
    Argument argument;
    const aiofiber_task task = spawn(
        [](void* pointer) -> void* {
          auto& self = *static_cast<Argument*>(pointer);
          EXPECT_EQ(aiofiber_cancelling(), 0);
          EXPECT_EQ(aiofiber_sleep(5), AIOFIBER_CANCELLED);
          EXPECT_EQ(aiofiber_cancelling(), 1);
          EXPECT_EQ(aiofiber_sleep(1), AIOFIBER_CANCELLED);
          EXPECT_EQ(aiofiber_uncancel(), 0);
          EXPECT_EQ(aiofiber_cancelling(), 0);
          self.code = aiofiber_sleep(1);
          return pointer;
        },
        &argument);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_cancel(task), 0);
    void* result = nullptr;
    EXPECT_EQ(aiofiber_wait(task, &result), 0);
    EXPECT_EQ(result, &argument);
    EXPECT_EQ(argument.code, 0);
  });
}

TEST(CCancel, OfTheCallerOfAWaitEndsBothAndOnlyThenTheWait) {
  run_in_loop([] {
    struct {
      Argument child{.seconds = 5};
      Argument parent;
      bool child_ended_first = false;
    } all;
    all.parent.other = spawn(
        [](void* pointer) -> void* {
          auto& shared = *static_cast<decltype(all)*>(pointer);
          const aiofiber_task child = spawn(
              [](void* of_child) -> void* {
                auto& seen = *static_cast<decltype(all)*>(of_child);
                EXPECT_EQ(aiofiber_sleep(5), AIOFIBER_CANCELLED);
                aiofiber_uncancel();
                seen.child.code = aiofiber_sleep(1);  // a slow good-bye
                seen.child_ended_first = true;
                aiofiber_sleep(-1);
                return nullptr;
              },
              pointer);
          // The first wait is a hooked one, as it were: the request is open when the second begins.
          EXPECT_EQ(aiofiber_sleep(2), AIOFIBER_CANCELLED);
          shared.parent.code = aiofiber_wait(child, nullptr);
          EXPECT_TRUE(shared.child_ended_first);
          return nullptr;
        },
        &all);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_cancel(all.parent.other), 0);
    EXPECT_EQ(aiofiber_wait(all.parent.other, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(all.parent.code, AIOFIBER_CANCELLED);
    EXPECT_EQ(all.child.code, 0);
  });
}

TEST(CCancel, WhileTheCallerWaitsGoesToTheTask) {
  run_in_loop([] {
    Argument child{.seconds = 5};
    Argument parent;
    parent.other = spawn(sleeps, &child);
    const aiofiber_task task = spawn(
        [](void* pointer) -> void* {
          auto& self = *static_cast<Argument*>(pointer);
          self.code = aiofiber_wait(self.other, nullptr);
          EXPECT_EQ(aiofiber_cancelling(), 1);
          return nullptr;
        },
        &parent);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_cancel(task), 0);
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(parent.code, AIOFIBER_CANCELLED);
    EXPECT_EQ(child.code, AIOFIBER_CANCELLED);
  });
}

TEST(CCancel, OfTheTaskAloneIsNoCancellationOfItsWaiter) {
  run_in_loop([] {
    Argument child{.seconds = 5};
    const aiofiber_task task = spawn(sleeps, &child);
    get_running_loop().call_later(1s, [task] { EXPECT_EQ(aiofiber_cancel(task), 0); });
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(aiofiber_cancelling(), 0);
    EXPECT_EQ(aiofiber_sleep(1), 0);
  });
}

TEST(CCancel, OfItselfEndsTheNextWait) {
  run_in_loop([] {
    Argument self;
    self.other = spawn(
        [](void* pointer) -> void* {
          auto& argument = *static_cast<Argument*>(pointer);
          EXPECT_EQ(aiofiber_cancel(argument.other), 0);
          EXPECT_EQ(aiofiber_cancelling(), 1);
          argument.code = aiofiber_sleep(1);
          return nullptr;
        },
        &self);
    EXPECT_EQ(aiofiber_wait(self.other, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(self.code, AIOFIBER_CANCELLED);
  });
}

TEST(CCancel, PassesAScopeOfCxxCodeAround) {
  run_in_loop([] {
    int code = 1;
    EXPECT_THROW(await(timeout(1s, [&] { code = aiofiber_sleep(5); })), TimeoutError);
    EXPECT_EQ(code, AIOFIBER_CANCELLED);
    EXPECT_EQ(aiofiber_cancelling(), 0);
    EXPECT_EQ(aiofiber_sleep(1), 0) << "the scope has taken its request back";
  });
}

// ---- gather -----------------------------------------------------------------------------------------------

TEST(CGather, WaitsForAllAndTellsEachOutcome) {
  run_in_loop([] {
    Argument arguments[3] = {{.seconds = 3}, {.seconds = 1}, {.seconds = 2}};
    aiofiber_task tasks[3];
    for (int i = 0; i < 3; ++i) tasks[i] = spawn(sleeps, &arguments[i]);
    EXPECT_EQ(aiofiber_cancel(tasks[1]), 0);
    const Duration start = now();
    void* results[3] = {};
    int errors[3] = {1, 1, 1};
    EXPECT_EQ(aiofiber_gather(tasks, 3, results, errors), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(now().nanoseconds() - start.nanoseconds(), 3'000'000'000);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(results[i], &arguments[i]);
      EXPECT_EQ(errors[i], i == 1 ? AIOFIBER_TASK_CANCELLED : 0);
      EXPECT_EQ(aiofiber_done(tasks[i]), AIOFIBER_INVALID);
    }
  });
}

TEST(CGather, OfACancelledCallerEndsWhenAllHaveEnded) {
  run_in_loop([] {
    struct All {
      Argument children[2] = {{.seconds = 5}, {.seconds = 6}};
      int code = 1;
      int errors[2] = {};
    } all;
    const aiofiber_task parent = spawn(
        [](void* pointer) -> void* {
          auto& shared = *static_cast<All*>(pointer);
          aiofiber_task tasks[2] = {spawn(sleeps, &shared.children[0]), spawn(sleeps, &shared.children[1])};
          shared.code = aiofiber_gather(tasks, 2, nullptr, shared.errors);
          return nullptr;
        },
        &all);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(aiofiber_cancel(parent), 0);
    EXPECT_EQ(aiofiber_wait(parent, nullptr), AIOFIBER_TASK_CANCELLED);
    EXPECT_EQ(all.code, AIOFIBER_CANCELLED);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(all.children[i].code, AIOFIBER_CANCELLED);
      EXPECT_EQ(all.errors[i], AIOFIBER_TASK_CANCELLED);
    }
  });
}

TEST(CGather, RefusesABadHandleBeforeItWaits) {
  run_in_loop([] {
    Argument argument{.seconds = 1};
    aiofiber_task tasks[2] = {spawn(sleeps, &argument), {}};
    int errors[2] = {7, 7};
    EXPECT_EQ(aiofiber_gather(tasks, 2, nullptr, errors), AIOFIBER_INVALID);
    EXPECT_EQ(errors[0], 7);
    EXPECT_EQ(aiofiber_done(tasks[0]), 0);
    EXPECT_EQ(aiofiber_gather(nullptr, 2, nullptr, nullptr), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_gather(nullptr, 0, nullptr, nullptr), 0);
    tasks[1] = tasks[0];  // twice the same
    EXPECT_EQ(aiofiber_gather(tasks, 2, nullptr, errors), 0);
    EXPECT_EQ(errors[1], 0);
  });
}

// ---- bad arguments ----------------------------------------------------------------------------------------

TEST(CErrors, OutsideALoop) {
  EXPECT_EQ(aiofiber_sleep(0), AIOFIBER_NO_LOOP);
  aiofiber_task task{1, 1};
  EXPECT_EQ(aiofiber_spawn(returns_argument, nullptr, nullptr, &task), AIOFIBER_NO_LOOP);
  EXPECT_EQ(task.serial_, 0U) << "no handle";
  void* result = &task;
  EXPECT_EQ(aiofiber_wait(task, &result), AIOFIBER_NO_LOOP);
  EXPECT_EQ(result, nullptr);
  EXPECT_EQ(aiofiber_wait_for(task, 1, nullptr), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_gather(&task, 1, nullptr, nullptr), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_cancel(task), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_detach(task), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_done(task), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_cancelled(task), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_cancelling(), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_uncancel(), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_name(nullptr, 0), AIOFIBER_NO_LOOP);
  EXPECT_EQ(aiofiber_set_name("x"), AIOFIBER_NO_LOOP);
}

TEST(CErrors, InACallbackOfTheLoop) {
  run_in_loop([] {
    Argument argument;
    bool called = false;
    get_running_loop().call_soon([&] {
      EXPECT_EQ(aiofiber_sleep(0), AIOFIBER_OUTSIDE_TASK);
      EXPECT_EQ(aiofiber_name(nullptr, 0), AIOFIBER_OUTSIDE_TASK);
      argument.other = spawn(sleeps, &argument);
      EXPECT_EQ(aiofiber_wait(argument.other, nullptr), AIOFIBER_OUTSIDE_TASK);
      EXPECT_EQ(aiofiber_detach(argument.other), 0);
      called = true;
    });
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_TRUE(called);
    EXPECT_EQ(argument.calls, 1) << "a detached task goes on";
  });
}

TEST(CErrors, InACoroutineWithoutAStack) {
  run_in_loop([] {
    const auto coroutine = []() -> Coro<int> {
      co_await sleep(0s);
      co_return aiofiber_sleep(0);
    };
    EXPECT_EQ(await(create_task(coroutine())), AIOFIBER_OUTSIDE_TASK);
  });
}

TEST(CErrors, AHandleThatHasEnded) {
  run_in_loop([] {
    const aiofiber_task task = spawn(returns_argument, nullptr);
    EXPECT_EQ(aiofiber_detach(task), 0);
    const aiofiber_task next = spawn(returns_argument, nullptr);  // in the same slot
    EXPECT_EQ(aiofiber_detach(task), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_cancel(task), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_done(task), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_wait({}, nullptr), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_wait(next, nullptr), 0);
    const aiofiber_task made_up{next.place_ + 1000, 1};
    EXPECT_EQ(aiofiber_wait(made_up, nullptr), AIOFIBER_INVALID);
    EXPECT_EQ(aiofiber_spawn(nullptr, nullptr, nullptr, nullptr), AIOFIBER_INVALID);
  });
}

TEST(CErrors, ATaskOfAnotherThreadOrLoop) {
  aiofiber_task old{};
  run_in_loop([&] { old = spawn(returns_argument, nullptr); });
  run_in_loop([&] {
    EXPECT_EQ(aiofiber_wait(old, nullptr), AIOFIBER_OTHER_LOOP);
    const aiofiber_task mine = spawn(returns_argument, nullptr);
    std::thread([mine] {
      EXPECT_EQ(aiofiber_cancel(mine), AIOFIBER_NO_LOOP);
      run_in_loop([mine] {
        EXPECT_EQ(aiofiber_cancel(mine), AIOFIBER_OTHER_LOOP);
        EXPECT_EQ(aiofiber_wait(mine, nullptr), AIOFIBER_OTHER_LOOP);
        EXPECT_EQ(aiofiber_gather(&mine, 1, nullptr, nullptr), AIOFIBER_OTHER_LOOP);
        EXPECT_EQ(aiofiber_detach(mine), AIOFIBER_OTHER_LOOP);
      });
    }).join();
    EXPECT_EQ(aiofiber_wait(mine, nullptr), 0);
  });
}

TEST(CErrors, ATaskThatWaitsForItself) {
  run_in_loop([] {
    Argument self;
    self.other = spawn(
        [](void* pointer) -> void* {
          auto& argument = *static_cast<Argument*>(pointer);
          argument.code = aiofiber_wait(argument.other, nullptr);
          EXPECT_EQ(aiofiber_gather(&argument.other, 1, nullptr, nullptr), AIOFIBER_DEADLOCK);
          return nullptr;
        },
        &self);
    EXPECT_EQ(aiofiber_sleep(1), 0);
    EXPECT_EQ(self.code, AIOFIBER_DEADLOCK);
    EXPECT_EQ(aiofiber_wait(self.other, nullptr), 0);
  });
}

TEST(CErrors, ACxxExceptionThatLeavesTheFunctionIsACodeAndIsLogged) {
  std::string logged;
  run_in_loop([&] {
    get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
      logged += context.message + ": " + format_exception(context.exception) + "\n";
    });
    const aiofiber_task task = spawn([](void*) -> void* { throw ValueError("boom"); }, nullptr);
    EXPECT_EQ(aiofiber_wait(task, nullptr), AIOFIBER_FAILED);
  });
  EXPECT_EQ(logged, "a C++ exception left the function of a task of <aiofiber.h>: ValueError: boom\n");
}

TEST(CErrors, NoStackForTheTask) {
  class NoMemory final : public runtime::FaultPlan {
   public:
    int fail(const char* call) noexcept override { return std::string_view(call) == "mmap" ? ENOMEM : 0; }
  };
  run_in_loop([] {
    aiofiber_task_options options = AIOFIBER_TASK_OPTIONS;
    options.stack_size = 64 << 20;  // a size of which no stack is left over
    Argument argument;
    aiofiber_task tasks[2];
    for (aiofiber_task& task : tasks) ASSERT_EQ(aiofiber_spawn(sleeps, &argument, &options, &task), 0);
    NoMemory no_memory;
    runtime::current_fault_plan = &no_memory;
    void* result = &argument;
    EXPECT_EQ(aiofiber_wait(tasks[0], &result), AIOFIBER_EXHAUSTED);
    EXPECT_EQ(result, nullptr);
    int code = 1;
    EXPECT_EQ(aiofiber_gather(&tasks[1], 1, nullptr, &code), AIOFIBER_EXHAUSTED);
    EXPECT_EQ(code, AIOFIBER_EXHAUSTED);
    runtime::current_fault_plan = nullptr;
    EXPECT_EQ(argument.calls, 0);
  });
}

TEST(CErrors, EachHasAText) {
  const std::vector<int> errors = {AIOFIBER_CANCELLED,    AIOFIBER_TASK_CANCELLED, AIOFIBER_TIMED_OUT,
                                   AIOFIBER_INVALID,      AIOFIBER_NO_LOOP,        AIOFIBER_OTHER_LOOP,
                                   AIOFIBER_OUTSIDE_TASK, AIOFIBER_DEADLOCK,       AIOFIBER_BUSY,
                                   AIOFIBER_NO_MEMORY,    AIOFIBER_EXHAUSTED,      AIOFIBER_OVERFLOW,
                                   AIOFIBER_FAILED,       AIOFIBER_INTERRUPTED,    AIOFIBER_LOOP_CLOSED};
  std::vector<std::string> texts;
  for (const int error : errors) {
    EXPECT_LT(error, 0);
    const std::string text = aiofiber_strerror(error);
    EXPECT_NE(text, "unknown error");
    EXPECT_EQ(std::count(texts.begin(), texts.end(), text), 0) << text;
    texts.push_back(text);
  }
  EXPECT_STREQ(aiofiber_strerror(0), "success");
  EXPECT_STREQ(aiofiber_strerror(-1000), "unknown error");
}

// ---- a loop that closes -----------------------------------------------------------------------------------

TEST(CClosingLoop, EndsWaitsWithACodeSoThatTheFunctionReturns) {
  set_log_sink([](LogLevel, std::string_view) {});  // the report of the pending task
  Argument argument{.seconds = 5};
  {
    testing::TestLoop loop;
    loop.run_until_complete([&] {
      EXPECT_EQ(aiofiber_spawn(sleeps, &argument, nullptr, nullptr), 0);
      EXPECT_EQ(aiofiber_sleep(1), 0);
    });
    EXPECT_EQ(argument.calls, 1);
    EXPECT_EQ(argument.code, 1) << "it waits";
    loop.close();
  }
  EXPECT_EQ(argument.code, AIOFIBER_LOOP_CLOSED);
  set_log_sink(nullptr);
}

}  // namespace
}  // namespace aiofiber
