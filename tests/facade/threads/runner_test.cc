// SPDX-License-Identifier: Apache-2.0
//
// run() and Runner: results, clean-up, contexts, SIGINT. Signals are raised by the tests themselves.
// Labels: long
#include "aiofiber/runner.h"

#include <absl/cleanup/cleanup.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/event.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/gather.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/sleep.h"
#include "aiofiber/task_group.h"
#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

void wait_for_ever() {
  Event never;
  await(never.wait());
}

TEST(Run, GivesTheResultOrTheException) {
  EXPECT_EQ(run([] { return 5; }), 5);
  run([] {});
  int x = 0;
  EXPECT_EQ(&run([&]() -> int& { return x; }), &x);
  EXPECT_THROW(run([]() -> int { throw std::out_of_range("x"); }), std::out_of_range);
  EXPECT_EQ(run(Coroutine<int>([] { return 6; })), 6);
}

TEST(Run, RefusesToRunInsideALoop) {
  run([] {
    try {
      run([] {});
      ADD_FAILURE();
    } catch (const RuntimeError& error) {
      EXPECT_STREQ(error.what(), "asyncio.run() cannot be called from a running event loop");
    }
  });
}

// An exception that nobody catches ends the program where it is thrown: no destructor above it is called.
TEST(Run, ClosesTheLoopBeforeAnUncaughtExceptionEndsTheProgram) {
  const auto main = [] {
    create_task([] {
      struct CleanUp {
        ~CleanUp() { std::fputs("cleaned up, ", stderr); }
      } const clean_up;
      wait_for_ever();
    }).detach();
    await(sleep(std::chrono::seconds(0)));
    throw std::runtime_error("nobody's");
  };
  EXPECT_EXIT(std::thread([&] { run(main); }).join(), ::testing::KilledBySignal(SIGABRT),
              "^cleaned up, .*nobody's");
}

// CPython: test_runners.py RunTests.test_asyncio_run_cancels_hanging_tasks
TEST(Run, CancelsWhatIsLeftAndReportsItsErrors) {
  bool cancelled = false;
  std::string reported;
  run([&] {
    get_running_loop().set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { reported = context.message; });
    create_task([&] {
      try {
        wait_for_ever();
      } catch (const CancelledError&) {
        cancelled = true;
        throw std::runtime_error("late");
      }
    }).detach();
    testing::wait_all_tasks_blocked();
  });
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(reported, "unhandled exception during asyncio.run() shutdown");
}

TEST(Run, SetsDebugAndUsesTheFactory) {
  run([] { EXPECT_TRUE(get_running_loop().get_debug()); }, {.debug = true});
  run([] { EXPECT_NE(dynamic_cast<testing::TestLoop*>(&get_running_loop()), nullptr); },
      {.debug = false, .loop_factory = [] { return std::make_unique<testing::TestLoop>(); }});
}

ContextVar<int> variable("variable", 1);

// CPython: test_runners.py RunnerTests.test_run_keeps_context
TEST(Runner, KeepsItsLoopAndContextBetweenRuns) {
  Runner runner;
  EventLoop* const loop = runner.run([] {
    variable.set(2);
    return &get_running_loop();
  });
  EXPECT_EQ(loop, &runner.get_loop());
  EXPECT_EQ(runner.run([] { return variable.get(); }), 2);
  EXPECT_EQ(variable.get(), 1);
}

TEST(Runner, RefusesToRunOnceClosed) {
  Runner runner;
  runner.run([] {});
  runner.close();
  runner.close();
  EXPECT_THROW(runner.run([] {}), RuntimeError);
  EXPECT_THROW(runner.get_loop(), RuntimeError);
}

TEST(Runner, LeavesTasksForTheNextRun) {
  Runner runner;
  Event event;
  int steps = 0;
  runner.run([&] {
    create_task([&] {
      await(event.wait());
      ++steps;
    }).detach();
    testing::wait_all_tasks_blocked();
  });
  runner.run([&] {
    event.set();
    testing::wait_all_tasks_blocked();
  });
  EXPECT_EQ(steps, 1);
}

// CPython: test_runners.py RunnerTests.test_interrupt_call_soon
TEST(Interrupt, CancelsMainAndBecomesKeyboardInterrupt) {
  bool cancelled = false;
  const auto main = [&] {
    std::raise(SIGINT);
    try {
      wait_for_ever();
    } catch (const CancelledError&) {
      cancelled = true;
      throw;
    }
  };
  EXPECT_THROW(run(main), KeyboardInterrupt);
  EXPECT_TRUE(cancelled);
  struct sigaction now {};
  ::sigaction(SIGINT, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST(Interrupt, GivesTheResultOfAMainThatSwallowsIt) {
  EXPECT_EQ(run([] {
              std::raise(SIGINT);
              try {
                wait_for_ever();
              } catch (const CancelledError&) {
              }
              return 3;
            }),
            3);
}

// CPython: test_runners.py RunnerTests.test_interrupt_cancelled_task
TEST(Interrupt, IsACancellationIfSomebodyElseCancelledToo) {
  EXPECT_THROW(run([] {
                 current_task()->cancel();
                 std::raise(SIGINT);
                 try {
                   wait_for_ever();
                 } catch (const CancelledError&) {
                 }
                 wait_for_ever();
               }),
               CancelledError);
}

// What the C++ runtime does with an exception that leaves main().
template <class Program>
void uncaught(Program program) {
  try {
    program();
  } catch (...) {
    std::terminate();
  }
}

// An uncaught interrupt ends the program as Ctrl-C ends others: the status has SIGINT, and there is no core
// and no abort.
TEST(Interrupt, EndsAProgramThatDoesNotCatchItBySigint) {
  const auto main = [] {
    std::raise(SIGINT);
    wait_for_ever();
  };
  EXPECT_EXIT(uncaught([&] { run(main); }), ::testing::KilledBySignal(SIGINT), "");
}

TEST(Interrupt, LeavesOtherUncaughtExceptionsToAbort) {
  const auto main = [] { throw std::runtime_error("nobody's"); };
  EXPECT_EXIT(uncaught([&] { run(main); }), ::testing::KilledBySignal(SIGABRT), "nobody's");
}

// ---- tasks that ignore their cancellation

// As C code that tries again whenever a call fails. No exception passes it, so the loop that closes abandons
// it.
struct Retries {
  int calls = 0;
  void operator()() {
    for (;; ++calls) runtime::Parker().park(AIOFIBER_WAIT_FD, 0);
  }
};
// The first wait, those that are refused, and a few more while others are asked to end.
constexpr int kMostCalls = runtime::Fiber::kRefusedWaitsOfOneThatIgnores + 100;

RunOptions in_virtual_time() {
  return {.loop_factory = [] { return std::make_unique<testing::TestLoop>(); }};
}

TEST(IgnoredCancellation, DoesNotKeepTheCleanUpFromItsEnd) {
  std::array<Retries, 3> retries;
  bool others_ended = false;
  run(
      [&] {
        for (Retries& task : retries) create_task([&task] { task(); }).detach();
        create_task([&] {
          try {
            wait_for_ever();
          } catch (const CancelledError&) {
            await(sleep(std::chrono::hours(1)));  // has its time
            others_ended = true;
            throw;
          }
        }).detach();
        await(sleep(std::chrono::seconds(1)));
      },
      in_virtual_time());
  EXPECT_TRUE(others_ended);
  for (const Retries& task : retries) EXPECT_GE(task.calls, runtime::Fiber::kRefusedWaitsOfOneThatIgnores);
}

TEST(IgnoredCancellation, OfAllThatMainWaitsForIsLeftAtTheFirstInterrupt) {
  using Wait = std::function<void(Retries&, Retries&)>;
  const std::vector<Wait> waits = {
      [](Retries& a, Retries&) { a(); },
      [](Retries& a, Retries&) { await(create_task([&] { a(); })); },
      [](Retries& a, Retries& b) { await(gather([&] { a(); }, [&] { b(); })); },
      [](Retries& a, Retries& b) { await(create_task([&] { await(gather([&] { a(); }, [&] { b(); })); })); },
      [](Retries& a, Retries& b) {
        await(task_group([&](TaskGroup& group) {
          group.create_task([&] { a(); });
          group.create_task([&] { b(); });
        }));
      },
  };
  for (const Wait& wait : waits) {
    Retries a, b, not_awaited;
    bool main_cleaned_up = false;
    EXPECT_THROW(run(
                     [&] {
                       const absl::Cleanup clean_up = [&] { main_cleaned_up = true; };
                       create_task([&] { not_awaited(); }).detach();
                       get_running_loop().call_later(std::chrono::seconds(1), [] { std::raise(SIGINT); });
                       wait(a, b);
                     },
                     in_virtual_time()),
                 KeyboardInterrupt);
    EXPECT_TRUE(main_cleaned_up || &wait == waits.data());
    EXPECT_LE(a.calls, kMostCalls);
    EXPECT_LE(b.calls, kMostCalls);
    EXPECT_LE(not_awaited.calls, kMostCalls);
  }
}

TEST(Interrupt, LeavesTheLoopTheSecondTime) {
  bool went_on = false;
  const auto stubborn = [&] {
    for (int i = 0; i < 2; ++i) {
      std::raise(SIGINT);
      try {
        wait_for_ever();
      } catch (const CancelledError&) {
        went_on = true;
      }
    }
  };
  EXPECT_THROW(run(stubborn), KeyboardInterrupt);
  EXPECT_TRUE(went_on);
}

// A task that is still there when main has ended, and what it does when run() cleans up.
template <class F>
void leave_behind(F clean_up) {
  create_task([clean_up] {
    try {
      wait_for_ever();
    } catch (const CancelledError&) {
      clean_up();
      throw;
    }
  }).detach();
  testing::wait_all_tasks_blocked();
}

TEST(Interrupt, OfTheCleanUpIsKeyboardInterrupt) {
  bool unwound = false;
  const auto main = [&] {
    leave_behind([&] {
      struct Leave {
        bool& left;
        ~Leave() { left = true; }
      } const leave{unwound};
      std::raise(SIGINT);
      wait_for_ever();  // would hold up the clean-up
    });
    return 5;
  };
  EXPECT_THROW(run(main), KeyboardInterrupt);
  EXPECT_TRUE(unwound) << "the loop is closed all the same";
  struct sigaction now {};
  ::sigaction(SIGINT, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
  EXPECT_EQ(run([] { return 1; }), 1);
}

TEST(Interrupt, ASecondOneDuringTheCleanUpIsKeyboardInterruptToo) {
  int count = 0;
  const auto main = [&] {
    leave_behind([&] {
      ++count;
      std::raise(SIGINT);
      wait_for_ever();
    });
    std::raise(SIGINT);
    wait_for_ever();
  };
  EXPECT_THROW(run(main), KeyboardInterrupt);
  EXPECT_EQ(count, 1);
}

TEST(Interrupt, OfClosingARunnerIsKeyboardInterrupt) {
  Runner runner;
  runner.run([] {
    leave_behind([] {
      std::raise(SIGINT);
      wait_for_ever();
    });
  });
  struct sigaction between {};
  ::sigaction(SIGINT, nullptr, &between);
  EXPECT_EQ(between.sa_handler, SIG_DFL) << "between two runs it is the program's";
  EXPECT_THROW(runner.close(), KeyboardInterrupt);
  EXPECT_THROW(runner.get_loop(), RuntimeError);
}

TEST(Interrupt, IsLeftToTheProgramsOwnHandler) {
  static volatile std::sig_atomic_t seen = 0;
  const auto previous = std::signal(SIGINT, [](int) { seen = 1; });
  run([] { std::raise(SIGINT); });
  EXPECT_EQ(seen, 1);
  std::signal(SIGINT, previous);
}

TEST(Runner, RefusesToCloseInsideItsLoop) {
  Runner runner;
  runner.run([&] { EXPECT_THROW(runner.close(), RuntimeError); });
  runner.run([] {});
}

[[noreturn]] void exit_here() { std::exit(3); }

TEST(ExitDeathTest, EndsTheProcessWithItsCodeInATaskOfAStaticLoop) {
  const auto quietly = ::testing::ExitedWithCode(3);
  EXPECT_EXIT(
      {
        static EventLoop loop;
        loop.add_signal_handler(SIGUSR1, [] {});
        loop.run_until_complete([] {
          create_task([] { wait_for_ever(); }).detach();
          testing::wait_all_tasks_blocked();
          exit_here();
        });
      },
      quietly, "^$");
  EXPECT_EXIT(
      {
        static EventLoop loop;
        loop.call_soon([] { exit_here(); });
        loop.run_forever();
      },
      quietly, "^$");
  EXPECT_EXIT(
      {
        static Runner runner;
        runner.run([] { exit_here(); });
      },
      quietly, "^$");
  EXPECT_EXIT(
      {
        static thread_local EventLoop loop;
        loop.run_until_complete([] { exit_here(); });
      },
      quietly, "^$");
  EXPECT_EXIT(run([] { exit_here(); }), quietly, "^$");
}

}  // namespace
}  // namespace aiofiber
