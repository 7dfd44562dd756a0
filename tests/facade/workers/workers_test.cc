// SPDX-License-Identifier: Apache-2.0
//
// run_workers(): a loop a thread, results, the first failure, signals. Workers: calls in the loops of a pool,
// their results, errors and cancellation, and the end of the pool.
// Labels: threads long
#include "aiofiber/workers.h"

#include <absl/cleanup/cleanup.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

void wait_for_ever() { await(get_running_loop().create_future<void>()); }

// Lets a task of one loop tell tasks of others.
void wait_for(const std::atomic<int>& value, int least) {
  while (value < least) await(sleep(1ms));
}

// ---- run_workers() ----------------------------------------------------------------------------------------

TEST(RunWorkers, GivesTheResultsInTheOrderOfTheWorkers) {
  EXPECT_EQ(run_workers([](Worker& worker) { return static_cast<int>(10 * worker.index()); }, {.loops = 3}),
            (std::vector{0, 10, 20}));
}

TEST(RunWorkers, RunsEachMainOnAThreadAndInALoopOfItsOwn) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<EventLoop*> loops;
  std::latch all_there(3);  // a loop that has ended could give its address to the next
  run_workers(
      [&](Worker& worker) {
        EXPECT_EQ(&worker.loop(), &get_running_loop());
        EXPECT_EQ(worker.count(), 3u);
        {
          const std::lock_guard lock(mutex);
          threads.insert(std::this_thread::get_id());
          loops.insert(&worker.loop());
        }
        all_there.arrive_and_wait();
      },
      {.loops = 3});
  EXPECT_EQ(threads.size(), 3u);
  EXPECT_EQ(loops.size(), 3u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST(RunWorkers, RunsALoopForEachProcessorByDefault) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  const auto results = run_workers([](Worker& worker) { return worker.count(); });
  EXPECT_EQ(results.size(), static_cast<std::size_t>(CPU_COUNT(&allowed)));
}

TEST(RunWorkers, TakesACoroutineFunction) {
  int base = 5;
  const auto results = run_workers(
      [&base](Worker& worker) -> Coro<int> {
        co_await sleep(0s);
        co_return base + static_cast<int>(worker.index());
      },
      {.loops = 2});
  EXPECT_EQ(results, (std::vector{5, 6}));
}

TEST(RunWorkers, GivesResultsThatCannotBeCopied) {
  const auto results =
      run_workers([](Worker& worker) { return std::make_unique<std::size_t>(worker.index()); }, {.loops = 2});
  EXPECT_EQ(*results.at(1), 1u);
}

TEST(RunWorkers, GivesEachWorkerItsOwnCopyOfTheFunction) {
  const auto results = run_workers(
      [calls = 0](Worker&) mutable {
        for (int i = 0; i < 1'000; ++i) ++calls;
        return calls;
      },
      {.loops = 3});
  EXPECT_EQ(results, (std::vector{1'000, 1'000, 1'000}));
}

TEST(RunWorkers, NamesThreadsAndTasks) {
  const auto names = run_workers(
      [](Worker& worker) {
        char name[16] = "";
        ::pthread_getname_np(::pthread_self(), name, sizeof name);
        return std::string(name) + " " + std::string(current_task()->get_name()) + " " + worker.name();
      },
      {.loops = 2, .names = "a_rather_long_name"});
  EXPECT_EQ(names.at(1), "a_rather_long-1 a_rather_long_name-1 a_rather_long_name-1");
}

TEST(RunWorkers, PinsEachThreadToAProcessor) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  const auto counts = run_workers(
      [](Worker&) {
        cpu_set_t own;
        return ::sched_getaffinity(0, sizeof own, &own) == 0 ? CPU_COUNT(&own) : 0;
      },
      {.loops = 3, .pin = true});
  EXPECT_EQ(counts, (std::vector{1, 1, 1}));
  cpu_set_t after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&allowed, &after));
}

TEST(RunWorkers, CancelsTheOthersWhenOneFailsAndThrowsItsError) {
  std::atomic<int> waiting = 0, cancelled = 0;
  const auto main = [&](Worker& worker) {
    if (worker.index() == 1) {
      wait_for(waiting, 2);
      throw std::runtime_error("broken");
    }
    try {
      ++waiting;
      wait_for_ever();
    } catch (const CancelledError&) {
      ++cancelled;
      throw;
    }
  };
  EXPECT_THROW(
      {
        try {
          run_workers(main, {.loops = 3});
        } catch (const std::runtime_error& error) {
          EXPECT_STREQ(error.what(), "broken");
          throw;
        }
      },
      std::runtime_error);
  EXPECT_EQ(cancelled.load(), 2);
}

TEST(RunWorkers, GivesLaterErrorsToTheExceptionHandler) {
  std::atomic<int> waiting = 0;
  std::atomic<int> reported = 0;
  EXPECT_THROW(run_workers(
                   [&](Worker& worker) {
                     if (worker.index() == 0) {
                       wait_for(waiting, 1);
                       throw std::runtime_error("first");
                     }
                     worker.loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
                       EXPECT_EQ(context.message, "exception of worker-1 after another worker had failed");
                       EXPECT_NE(context.exception, nullptr);
                       ++reported;
                     });
                     try {
                       ++waiting;
                       wait_for_ever();
                     } catch (const CancelledError&) {
                       throw std::logic_error("second");
                     }
                   },
                   {.loops = 2}),
               std::runtime_error);
  EXPECT_EQ(reported.load(), 1);
}

TEST(RunWorkers, LetsACancellationOfItsOwnCountAsAFailure) {
  EXPECT_THROW(run_workers(
                   [](Worker& worker) {
                     if (worker.index() == 0) throw CancelledError();
                     wait_for_ever();
                   },
                   {.loops = 2}),
               CancelledError);
}

TEST(RunWorkers, CancelsWhatAMainLeavesBehind) {
  std::atomic<int> cancelled = 0;
  run_workers(
      [&](Worker&) {
        create_task([&] {
          try {
            wait_for_ever();
          } catch (const CancelledError&) {
            ++cancelled;
            throw;
          }
        }).detach();
        await(sleep(0s));
      },
      {.loops = 2});
  EXPECT_EQ(cancelled.load(), 2);
}

TEST(RunWorkers, EndsWhenAWorkerCancelsAll) {
  std::atomic<int> ended = 0;
  run_workers(
      [&](Worker& worker) {
        struct AtEnd {
          std::atomic<int>& count;
          ~AtEnd() { ++count; }
        } const at_end{ended};
        if (worker.index() == 0) worker.cancel_all();
        wait_for_ever();
      },
      {.loops = 3});
  EXPECT_EQ(ended.load(), 3);
  EXPECT_THROW(run_workers(
                   [&](Worker& worker) {
                     worker.cancel_all();
                     wait_for_ever();
                     return 1;
                   },
                   {.loops = 2}),
               CancelledError);
}

TEST(RunWorkers, RefusesToRunInARunningLoop) {
  run([] { EXPECT_THROW(run_workers([](Worker&) {}, {.loops = 1}), RuntimeError); });
}

TEST(RunWorkers, ReportsAFactoryThatGivesNoLoop) {
  EXPECT_THROW(
      run_workers([](Worker&) {}, {.loops = 2, .loop_factory = [] { return std::unique_ptr<EventLoop>(); }}),
      ValueError);
}

TEST(RunWorkers, MakesItsLoopsWithTheFactoryAndInDebugMode) {
  std::atomic<int> made = 0;
  const auto debug = run_workers([](Worker& worker) { return worker.loop().get_debug(); },
                                 {.loops = 2, .debug = true, .loop_factory = [&] {
                                    ++made;
                                    return new_event_loop();
                                  }});
  EXPECT_EQ(made.load(), 2);
  EXPECT_EQ(debug, (std::vector{true, true}));
}

TEST(RunWorkers, TurnsAnInterruptIntoKeyboardInterrupt) {
  std::atomic<int> cancelled = 0, waiting = 0;
  EXPECT_THROW(run_workers(
                   [&](Worker& worker) {
                     try {
                       ++waiting;
                       if (worker.index() == 0) {
                         wait_for(waiting, 3);
                         ::kill(::getpid(), SIGINT);
                       }
                       wait_for_ever();
                     } catch (const CancelledError&) {
                       ++cancelled;
                       throw;
                     }
                   },
                   {.loops = 3}),
               KeyboardInterrupt);
  EXPECT_EQ(cancelled.load(), 3);
}

TEST(RunWorkers, ReturnsAfterAnInterruptThatAllMainsHandle) {
  std::atomic<int> waiting = 0;
  const auto results = run_workers(
      [&](Worker& worker) {
        try {
          ++waiting;
          if (worker.index() == 0) {
            wait_for(waiting, 2);
            ::kill(::getpid(), SIGINT);
          }
          wait_for_ever();
        } catch (const CancelledError&) {
        }
        return 7;
      },
      {.loops = 2});
  EXPECT_EQ(results, (std::vector{7, 7}));
}

// Two mains that go on after the first signal, as servers whose clients do not leave.
void run_stubborn_workers(int signo) {
  std::atomic<int> waiting = 0, stubborn = 0;
  const auto main = [&](Worker& worker) {
    ++waiting;
    if (worker.index() == 0) {
      wait_for(waiting, 2);
      ::kill(::getpid(), signo);
    }
    try {
      wait_for_ever();
    } catch (const CancelledError&) {
      ++stubborn;
    }
    if (worker.index() == 0) {
      wait_for(stubborn, 2);
      ::kill(::getpid(), signo);
    }
    wait_for_ever();
  };
  const absl::Cleanup both_were_asked = [&] { EXPECT_EQ(stubborn.load(), 2); };
  run_workers(main, {.loops = 2});
}

TEST(RunWorkers, LeavesLoopsThatIgnoreTheFirstInterruptAtTheSecond) {
  EXPECT_THROW(run_stubborn_workers(SIGINT), KeyboardInterrupt);
}

TEST(RunWorkers, LeavesLoopsThatIgnoreTheFirstSigtermAtTheSecond) {
  try {
    run_stubborn_workers(SIGTERM);
    ADD_FAILURE() << "it is no ordinary end";
  } catch (const SystemExit& exit) {
    EXPECT_EQ(exit.code(), 128 + SIGTERM);
  }
}

TEST(RunWorkers, ReturnsAfterSigterm) {
  std::atomic<int> cancelled = 0, waiting = 0;
  const auto main = [&](Worker& worker) {
    try {
      ++waiting;
      if (worker.index() == 0) {
        wait_for(waiting, 2);
        ::kill(::getpid(), SIGTERM);
      }
      wait_for_ever();
    } catch (const CancelledError&) {
      ++cancelled;
      throw;
    }
  };
  run_workers(main, {.loops = 2});
  EXPECT_EQ(cancelled.load(), 2);
  waiting = 0;
  try {
    run_workers([&](Worker& worker) { return main(worker), 1; }, {.loops = 2});
    ADD_FAILURE() << "there are no results";
  } catch (const SystemExit& exit) {
    EXPECT_EQ(exit.code(), 128 + SIGTERM);
  }
}

TEST(RunWorkers, LeavesSignalsOfTheProgramAlone) {
  static std::atomic<int> handled;
  handled = 0;
  struct sigaction before {
  }, own{};
  own.sa_handler = [](int) { ++handled; };
  ::sigaction(SIGTERM, &own, &before);
  run_workers([](Worker&) { ::raise(SIGTERM); }, {.loops = 1});
  EXPECT_EQ(handled.load(), 1);
  ::sigaction(SIGTERM, &before, nullptr);
  const auto actions = run_workers(
      [](Worker&) {
        struct sigaction now {};
        ::sigaction(SIGTERM, nullptr, &now);
        return now.sa_handler == SIG_DFL;
      },
      {.loops = 1, .signals = false});
  EXPECT_EQ(actions, std::vector{true});
}

// ---- Workers ----------------------------------------------------------------------------------------------

TEST(Workers, GiveResultsToTheLoopThatSubmits) {
  Workers workers({.loops = 2});
  EXPECT_EQ(workers.size(), 2u);
  run([&] {
    const std::thread::id here = std::this_thread::get_id();
    EXPECT_EQ(await(workers.submit([](int a, int b) { return a + b; }, 1, 2)), 3);
    EXPECT_NE(await(workers.submit([] { return std::this_thread::get_id(); })), here);
    EXPECT_EQ(*await(workers.submit([] { return std::make_unique<int>(4); })), 4);
    await(workers.submit([] { await(sleep(0s)); }));
  });
}

TEST(Workers, RunCoroutineFunctions) {
  Workers workers({.loops = 1});
  EXPECT_EQ(run([&]() -> Coro<int> {
              co_return co_await workers.submit(
                  [](int value) -> Coro<int> {
                    co_await sleep(0s);
                    co_return 2 * value;
                  },
                  21);
            }),
            42);
}

TEST(Workers, RunCallsOfOneLoopSideBySide) {
  Workers workers({.loops = 1});
  const Channel<int> channel(1);
  EXPECT_EQ(run([&] {
              auto getter = workers.submit([channel] { return await(channel.get()); });
              await(workers.submit([channel] { await(channel.put(5)); }));
              return await(getter);
            }),
            5);
}

TEST(Workers, PassErrorsOn) {
  Workers workers({.loops = 1});
  run([&] {
    EXPECT_THROW(await(workers.submit([] { throw std::out_of_range("far"); })), std::out_of_range);
  });
}

TEST(Workers, CancelTheTaskWhoseResultIsNotWanted) {
  Workers workers({.loops = 1});
  std::atomic<int> begun = 0, cancelled = 0;
  run([&] {
    auto call = workers.submit([&] {
      try {
        ++begun;
        wait_for_ever();
      } catch (const CancelledError&) {
        ++cancelled;
        throw;
      }
    });
    wait_for(begun, 1);
    call.cancel();
    EXPECT_THROW(await(call), CancelledError);
    wait_for(cancelled, 1);
  });
}

TEST(Workers, ChooseTheWorkerWithTheFewestCalls) {
  Workers workers({.loops = 3});
  run([&] {
    std::vector<Future<std::thread::id>> calls;
    const Channel<int> gate(3);
    for (int i = 0; i < 3; ++i)
      calls.push_back(workers.submit([gate] {
        await(gate.get());
        return std::this_thread::get_id();
      }));
    EXPECT_EQ(workers.unfinished(), 3u);
    for (int i = 0; i < 3; ++i) gate.put_nowait(i);
    std::set<std::thread::id> threads;
    for (auto& call : calls) threads.insert(await(call));
    EXPECT_EQ(threads.size(), 3u);
    while (workers.unfinished() > 0) await(sleep(1ms));
  });
}

TEST(Workers, SubmitToTheWorkerOfAnIndex) {
  Workers workers({.loops = 2, .names = "pool"});
  run([&] {
    const auto name = [] {
      char text[16] = "";
      ::pthread_getname_np(::pthread_self(), text, sizeof text);
      return std::string(text);
    };
    EXPECT_EQ(await(workers.submit_to(1, name)), "pool-1");
    EXPECT_EQ(await(workers.submit_to(0, name)), "pool-0");
    EXPECT_THROW(static_cast<void>(workers.submit_to(2, name)), ValueError);
  });
}

TEST(Workers, CancelWhatIsLeftWhenTheyClose) {
  std::atomic<int> begun = 0, cancelled = 0;
  Workers workers({.loops = 2});
  run([&] {
    std::vector<Future<void>> calls;
    for (int i = 0; i < 4; ++i)
      calls.push_back(workers.submit([&] {
        try {
          ++begun;
          wait_for_ever();
        } catch (const CancelledError&) {
          ++cancelled;
          throw;
        }
      }));
    wait_for(begun, 4);
    await(workers.aclose());
    EXPECT_EQ(cancelled.load(), 4);
    for (auto& call : calls) EXPECT_THROW(await(call), CancelledError);
    EXPECT_THROW(static_cast<void>(workers.submit([] {})), RuntimeError);
    await(workers.aclose());
  });
  workers.close();
  workers.close();
}

TEST(Workers, EndCallsThatHaveNotBegunWhenTheyClose) {
  for (int round = 0; round < 50; ++round) {
    Workers workers({.loops = 2});
    run([&] {
      std::vector<Future<void>> calls;
      for (int i = 0; i < 10; ++i) calls.push_back(workers.submit([] { await(sleep(1h)); }));
      workers.close();
      for (auto& call : calls) EXPECT_THROW(await(call), CancelledError);
    });
    EXPECT_EQ(workers.unfinished(), 0u);
  }
}

TEST(Workers, RefuseToBeClosedByTheirOwnTasks) {
  Workers workers({.loops = 1});
  run([&] {
    EXPECT_THROW(await(workers.submit([&] { workers.close(); })), RuntimeError);
    EXPECT_THROW(await(workers.submit([&] { await(workers.aclose()); })), RuntimeError);
  });
}

TEST(Workers, RefuseCallsOutsideALoop) {
  Workers workers({.loops = 1});
  EXPECT_THROW(static_cast<void>(workers.submit([] {})), RuntimeError);
}

TEST(Workers, GoOnAfterACallThatLeavesTheLoop) {
  set_log_sink([](LogLevel, std::string_view) {});
  Workers workers({.loops = 1});
  run([&] {
    EXPECT_EQ(await(workers.submit([] { return 1; })), 1);
    auto call = workers.submit([] {
      if (current_task()) throw SystemExit(3);
    });
    while (!call.done()) await(sleep(1ms));
    EXPECT_NE(call.exception(), nullptr);
    EXPECT_EQ(await(workers.submit([] { return 2; })), 2);
  });
  workers.close();
  set_log_sink(nullptr);
}

TEST(Workers, ServeSeveralLoopsAtOnce) {
  constexpr int kCalls = 300;
  Workers workers({.loops = 2});
  const auto sums = run_workers(
      [&](Worker&) {
        int sum = 0;
        for (int i = 0; i < kCalls; ++i) sum += await(workers.submit([i] { return i; }));
        return sum;
      },
      {.loops = 2});
  EXPECT_EQ(sums, (std::vector{kCalls * (kCalls - 1) / 2, kCalls * (kCalls - 1) / 2}));
}

TEST(Workers, OutliveTheLoopThatSubmits) {
  set_log_sink([](LogLevel, std::string_view) {});
  Workers workers({.loops = 1});
  std::atomic<bool> go = false;
  EventLoop loop;
  loop.run_until_complete([&] {
    auto call = workers.submit([&] {
      while (!go) await(sleep(1ms));
    });
    await(sleep(0s));
  });
  loop.close();
  go = true;
  run([&] { EXPECT_EQ(await(workers.submit([] { return 1; })), 1); });
  set_log_sink(nullptr);
}

TEST(Workers, ReportAFactoryThatFails) {
  std::atomic<int> made = 0;
  EXPECT_THROW(Workers({.loops = 3,
                        .loop_factory = [&]() -> std::unique_ptr<EventLoop> {
                          if (++made == 2) throw std::runtime_error("no more");
                          return new_event_loop();
                        }}),
               std::runtime_error);
}

}  // namespace
}  // namespace aiofiber
