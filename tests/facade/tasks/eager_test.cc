// SPDX-License-Identifier: Apache-2.0
//
// Eager tasks and task factories: the code that runs before create_task() returns, its order, and the
// receiver of its exceptions. The order is that of CPython 3.12 and later (test_eager_task_factory.py).
// Labels: long
#include <gtest/gtest.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "aiofiber/exception_context.h"
#include "aiofiber/log.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;
using Log = std::vector<std::string>;

constexpr auto kEager = [](auto... fn) { return create_task(TaskOptions{.eager_start = true}, fn...); };

TEST(EagerTask, IsDoneWhenItNeverSuspends) {
  TestLoop loop;
  loop.run_until_complete([&] {
    const auto pass = loop.iteration();
    auto task = kEager([] { return 5; });
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.result(), 5);
    EXPECT_EQ(await(task), 5);
    auto failed = kEager([] { throw std::out_of_range("x"); });
    EXPECT_THROW(await(failed), std::out_of_range);
    auto cancelled = kEager([] { throw CancelledError("gone"); });
    EXPECT_TRUE(cancelled.cancelled());
    EXPECT_EQ(loop.iteration(), pass) << "no pass went by";
    EXPECT_EQ(all_tasks().size(), 1u);
  });
  loop.close();
}

TEST(EagerTask, GoesOnAsAnyOtherAfterItsFirstSuspension) {
  run_in_loop([] {
    Log log;
    create_task([&] { log.push_back("usual"); }).detach();
    auto task = kEager([&] {
      log.push_back("first step");
      await(sleep(0s));
      log.push_back("second step");
      await(sleep(1s));
      return 7;
    });
    log.push_back("creator");
    EXPECT_FALSE(task.done());
    await(sleep(0s));
    log.push_back("creator again");
    EXPECT_EQ(await(task), 7);
    EXPECT_EQ(log, (Log{"first step", "creator", "usual", "second step", "creator again"}));
  });
}

TEST(EagerTask, MaySleepInItsFirstStepWhileItsCreatorGoesOn) {
  TestLoop loop;
  loop.run_until_complete([&] {
    auto task = kEager([] { await(sleep(1s)); });
    EXPECT_EQ(loop.time(), TimePoint());
    await(task);
    EXPECT_EQ(loop.time(), TimePoint(1s));
  });
  loop.close();
}

TEST(EagerTask, NestsAndReturnsInnermostFirst) {
  run_in_loop([] {
    Log log;
    auto outer = kEager([&] {
      log.push_back("outer");
      auto middle = kEager([&] {
        log.push_back("middle");
        auto inner = kEager([&] {
          log.push_back("inner");
          await(sleep(0s));
          log.push_back("inner end");
        });
        log.push_back("middle goes on");
        await(inner);
      });
      log.push_back("outer goes on");
      await(middle);
    });
    log.push_back("main");
    await(outer);
    EXPECT_EQ(log, (Log{"outer", "middle", "inner", "middle goes on", "outer goes on", "main", "inner end"}));
  });
}

TEST(EagerTask, IsStartedFromACallbackToo) {
  TestLoop loop;
  Log log;
  loop.call_soon([&] {
    auto task = kEager([&] {
      log.push_back("first step of " + current_task()->get_name());
      EXPECT_TRUE(kEager([] {}).done());
      await(sleep(0s));
      log.push_back("second step");
      loop.stop();
    });
    task.set_name("eager");
    EXPECT_FALSE(current_task());
    log.push_back("callback");
    std::move(task).detach();
  });
  loop.call_soon([&] { log.push_back("next callback"); });
  loop.run_forever();
  EXPECT_EQ(log.size(), 4u);
  EXPECT_EQ((Log{log.begin() + 1, log.end()}), (Log{"callback", "next callback", "second step"}));
  loop.close();
}

TEST(EagerTask, WaitsForALoopThatDoesNotRunYet) {
  TestLoop loop;
  bool ran = false;
  auto task = loop.create_task(TaskOptions{.eager_start = true}, [&] { ran = true; });
  EXPECT_FALSE(ran);
  loop.run_until_complete(task);
  EXPECT_TRUE(ran);
  loop.close();
}

ContextVar<int> variable("eager", 1);

TEST(EagerTask, HasItsOwnNameAndContext) {
  run_in_loop([] {
    variable.set(2);
    const AnyTask creator = *current_task();
    auto task = create_task(TaskOptions{.name = "mine", .eager_start = true}, [&] {
      EXPECT_EQ(current_task()->get_name(), "mine");
      EXPECT_FALSE(*current_task() == creator);
      EXPECT_EQ(variable.get(), 2);
      EXPECT_EQ(all_tasks().size(), 2u);
      variable.set(3);
    });
    EXPECT_TRUE(*current_task() == creator);
    EXPECT_EQ(variable.get(), 2);
    await(task);
  });
}

TEST(EagerTask, MayCancelItsCreator) {
  run_in_loop([] {
    auto creator = create_task([] {
      const AnyTask self = *current_task();
      await(kEager([self] { self.cancel("by the child"); }));
      await(sleep(1s));
    });
    EXPECT_THROW(await(creator), CancelledError);
    auto task = kEager([] { await(sleep(1s)); });
    task.cancel();
    EXPECT_THROW(await(task), CancelledError);
  });
}

TEST(EagerTask, ThrowsWhatLeavesTheLoopIntoCreateTask) {
  TestLoop loop;
  bool told = false;
  loop.run_until_complete([&] {
    EXPECT_THROW(static_cast<void>(kEager([] { throw KeyboardInterrupt(); })), KeyboardInterrupt);
    told = true;
    await(sleep(0s));  // it was caught, so the loop goes on
  });
  EXPECT_TRUE(told);
  loop.call_soon([] { static_cast<void>(kEager([] { throw SystemExit(3); })); });
  EXPECT_THROW(loop.run_forever(), SystemExit);
  loop.close();
}

TEST(EagerTask, OfAGroupIsItsChild) {
  run_in_loop([] {
    Log log;
    await(task_group([&](TaskGroup& group) {
      group.create_task(TaskOptions{.eager_start = true}, [&] { log.push_back("at once"); });
      group.create_task(TaskOptions{.eager_start = true}, [&] {
        await(sleep(1s));
        log.push_back("later");
      });
      log.push_back("body");
    }));
    EXPECT_EQ(log, (Log{"at once", "body", "later"}));
    // Not before the body's next await.
    bool body_went_on = false;
    EXPECT_THROW(await(task_group([&](TaskGroup& group) {
                   group.create_task(TaskOptions{.eager_start = true}, [] { throw std::out_of_range("x"); });
                   body_went_on = true;
                 })),
                 ExceptionGroup);
    EXPECT_TRUE(body_went_on);
  });
}

TEST(EagerTask, ThatSuspendsForEverIsUnwoundWithItsLoop) {
  TestLoop loop;
  set_log_sink([](LogLevel, std::string_view) {});
  bool unwound = false;
  loop.run_until_complete([&] {
    kEager([&] {
      struct Leave {
        bool& left;
        ~Leave() { left = true; }
      } const leave{unwound};
      await(Event().wait());
    }).detach();
  });
  loop.close();
  set_log_sink({});
  EXPECT_TRUE(unwound);
}

TEST(EagerTask, OfADestructorInAClosingLoopDoesNotRun) {
  TestLoop loop;
  set_log_sink([](LogLevel, std::string_view) {});
  bool ran = false;
  loop.run_until_complete([&] {
    create_task([&] {
      struct MakesATask {
        EventLoop& loop;
        bool& ran;
        ~MakesATask() {
          loop.create_task(TaskOptions{.eager_start = true}, [&flag = ran] { flag = true; }).detach();
        }
      } const makes{loop, ran};
      await(Event().wait());
    }).detach();
    testing::wait_all_tasks_blocked();
  });
  loop.close();
  set_log_sink({});
  EXPECT_FALSE(ran);
}

TEST(EagerTask, ManyInARowCostNoStack) {
  run_in_loop([] {
    std::size_t ended = 0;
    for (int i = 0; i < 10'000; ++i) {
      kEager([&] {
        await(sleep(0s));
        ++ended;
      }).detach();
    }
    testing::wait_all_tasks_blocked();
    EXPECT_EQ(ended, 10'000u);
  });
}

TEST(EagerTaskFactory, StartsAllTasksOfTheLoop) {
  TestLoop loop;
  loop.set_task_factory(eager_task_factory);
  loop.run_until_complete([&] {
    EXPECT_TRUE(create_task([] {}).done());
    EXPECT_TRUE(ensure_future([] {}).done());
    EXPECT_TRUE(gather([] { return 1; }, [] { return 2; }).done());
    auto [a, b] = await(gather([] { return 1; },
                               [] {
                                 await(sleep(1s));
                                 return 2;
                               }));
    EXPECT_EQ(a + b, 3);
    auto [done, pending] = await(wait(std::vector<std::function<void()>>{[] {}, [] { await(sleep(1s)); }},
                                      {.return_when = FIRST_COMPLETED}));
    EXPECT_EQ(done.size(), 1u);
    EXPECT_EQ(pending.size(), 1u);
    pending.at(0).cancel();
    EXPECT_EQ(await(shield([] { return 4; })), 4);
  });
  loop.close();
}

TEST(EagerTaskFactory, CallsTheProgramsOwnFirst) {
  TestLoop loop;
  Log log;
  loop.set_task_factory(create_eager_task_factory([&](EventLoop&, const AnyTask& task) {
    EXPECT_FALSE(task.done());
    task.set_name("named");
    log.push_back("made");
  }));
  loop.run_until_complete([&] {
    create_task([&] { log.push_back(current_task()->get_name()); }).detach();
    log.push_back("creator");
  });
  EXPECT_EQ(log, (Log{"made", "made", "named", "creator"}));
  loop.set_task_factory(create_eager_task_factory(nullptr));
  loop.run_until_complete([] { EXPECT_TRUE(create_task([] {}).done()); });
  loop.close();
}

// ---- refusing ---------------------------------------------------------------------------------------------

class Refusing : public ::testing::Test {
 protected:
  Refusing() {
    loop.set_task_factory([this](EventLoop&, const AnyTask& task) {
      if (!refuse) return;
      refused = task;
      throw std::length_error("too many tasks");
    });
  }
  ~Refusing() override {
    refused = AnyTask();
    loop.close();
  }
  TestLoop loop;
  bool refuse = false;
  AnyTask refused;
};

TEST_F(Refusing, LeavesNoTaskBehind) {
  auto owned = std::make_shared<int>(1);
  loop.run_until_complete([&] {
    bool ran = false;
    refuse = true;
    EXPECT_THROW(static_cast<void>(create_task([&ran, owned] { ran = true; })), std::length_error);
    refuse = false;
    EXPECT_EQ(owned.use_count(), 1) << "what its function owned is gone";
    EXPECT_EQ(all_tasks().size(), 1u);
    EXPECT_TRUE(refused.cancelled()) << "whoever kept the handle does not wait for ever";
    EXPECT_THROW(await(gather(std::vector{Future<void>(refused.ref())})), CancelledError);
    await(sleep(1s));
    EXPECT_FALSE(ran);
  });
}

TEST_F(Refusing, ClosesACoroutineWithoutTheReport) {
  std::string log;
  set_log_sink([&](LogLevel, std::string_view text) { log += text; });
  loop.run_until_complete([&] {
    refuse = true;
    EXPECT_THROW(static_cast<void>(create_task(Coroutine<void>([] {}))), std::length_error);
    refuse = false;
  });
  set_log_sink({});
  EXPECT_EQ(log, "");
}

TEST_F(Refusing, IsAnErrorOfWhoeverMakesTasks) {
  loop.run_until_complete([&] {
    bool ran = false;
    const auto run = [&] { ran = true; };
    EXPECT_THROW(await(task_group([&](TaskGroup& group) {
                   refuse = true;
                   EXPECT_THROW(group.create_task(run), std::length_error);
                   EXPECT_THROW(static_cast<void>(gather(run, run)), std::length_error);
                   EXPECT_THROW(await(wait_for(shield(run), 1s)), std::length_error);
                   EXPECT_THROW(static_cast<void>(create_task(TaskOptions{.eager_start = true}, run)),
                                std::length_error);
                   refuse = false;
                   throw std::out_of_range("the body's own");
                 })),
                 ExceptionGroup);
    EXPECT_FALSE(ran);
  });
}

// The first step of the second input ends the first one, before the gather has seen all of its inputs.
TEST(EagerTasks, MayEndAnEarlierInputOfTheirGather) {
  run_in_loop([] {
    get_running_loop().set_task_factory(eager_task_factory);
    auto early = get_running_loop().create_future<int>();
    auto [first, second] = await(gather(early, [&] {
      early.set_result(1);
      await(sleep(1s));
      return 2;
    }));
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 2);
    get_running_loop().set_task_factory(nullptr);
  });
}

}  // namespace
}  // namespace aiofiber
