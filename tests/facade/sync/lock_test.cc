// SPDX-License-Identifier: Apache-2.0
//
// Lock, Event, Condition, Semaphore and Barrier on virtual time: order, hand-over, cancellation.
// Labels: long
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "aiofiber/barrier.h"
#include "aiofiber/condition.h"
#include "aiofiber/event.h"
#include "aiofiber/gather.h"
#include "aiofiber/lock.h"
#include "aiofiber/log.h"
#include "aiofiber/semaphore.h"
#include "aiofiber/sleep.h"
#include "aiofiber/testing.h"
#include "aiofiber/wait.h"

namespace aiofiber {
namespace {

using testing::TestLoop;
using testing::wait_all_tasks_blocked;

// Runs the body as the main task of a fresh loop.
template <class Body>
void in_loop(Body body) {
  TestLoop loop;
  struct Close {
    TestLoop& loop;
    ~Close() { loop.close(); }
  } const close{loop};
  loop.run_until_complete(body);
}

using Log = std::vector<std::string>;

TEST(Lock, IsTakenWithoutSuspendingWhenFree) {
  TestLoop loop;
  loop.run_until_complete([&] {
    Lock lock;
    const auto before = loop.iteration();
    EXPECT_TRUE(await(lock.acquire()));
    EXPECT_EQ(loop.iteration(), before);
    EXPECT_TRUE(lock.locked());
  });
  loop.close();
}

// CPython: test_locks.py LockTests.test_acquire
TEST(Lock, ServesWaitersInOrderAndLetsNobodyOvertake) {
  in_loop([] {
    Lock lock;
    Log log;
    await(lock.acquire());
    const auto take = [&](std::string name) {
      const std::unique_lock guard(lock);
      log.push_back(name);
    };
    auto a = create_task(take, "a");
    auto b = create_task(take, "b");
    wait_all_tasks_blocked();
    lock.release();
    EXPECT_FALSE(lock.locked());
    take("late");
    EXPECT_EQ(log, (Log{"a", "b", "late"}));
    await(a);
    await(b);
  });
}

TEST(Lock, RefusesToReleaseWhatIsNotHeld) {
  Lock lock;
  try {
    lock.release();
    ADD_FAILURE();
  } catch (const RuntimeError& error) {
    EXPECT_STREQ(error.what(), "Lock is not acquired.");
  }
}

// CPython: test_locks.py LockTests.test_cancel_release_race
TEST(Lock, GoesToTheNextWhenTheWokenWaiterIsCancelled) {
  in_loop([] {
    Lock lock;
    await(lock.acquire());
    auto a = create_task([&] { return await(lock.acquire()); });
    auto b = create_task([&] { return await(lock.acquire()); });
    wait_all_tasks_blocked();
    lock.release();
    a.cancel();
    EXPECT_TRUE(await(b));
    EXPECT_TRUE(a.cancelled());
    EXPECT_TRUE(lock.locked());
  });
}

TEST(Lock, PrintsItsStateAndWaiters) {
  in_loop([] {
    Lock lock;
    EXPECT_NE(repr(lock).find("[unlocked]"), std::string::npos);
    await(lock.acquire());
    auto a = create_task([&] { const std::lock_guard guard(lock); });
    wait_all_tasks_blocked();
    EXPECT_NE(repr(lock).find("[locked, waiters:1]"), std::string::npos) << repr(lock);
    lock.release();
    await(a);
  });
}

TEST(Lock, BelongsToTheLoopOfItsFirstContendedUse) {
  Lock lock;
  const auto contend = [&] {
    if (!lock.locked()) await(lock.acquire());
    auto waiter = create_task([&] { return await(lock.acquire()); });
    wait_all_tasks_blocked();
    waiter.cancel();
    wait_all_tasks_blocked();
    if (waiter.exception() != nullptr) std::rethrow_exception(waiter.exception());
  };
  EXPECT_THROW(in_loop(contend), CancelledError);
  EXPECT_THROW(in_loop(contend), RuntimeError);
}

TEST(Lock, MayDieBeforeItsWaitersWhenTheLoopCloses) {
  TestLoop loop;
  set_log_sink([](LogLevel, std::string_view) {});
  loop.create_task([] {
        Lock lock;
        await(lock.acquire());
        auto waiter = create_task([&lock] { const std::lock_guard guard(lock); });
        Event never;
        await(never.wait());
      })
      .detach();
  loop.advance(std::chrono::seconds(1));
  loop.close();
  set_log_sink({});
}

// CPython: test_locks.py EventTests.test_clear_with_waiters
TEST(Event, ReleasesItsWaitersEvenIfItIsClearedAtOnce) {
  in_loop([] {
    Event event;
    auto a = create_task([&] { return await(event.wait()); });
    auto b = create_task([&] { return await(event.wait()); });
    wait_all_tasks_blocked();
    event.set();
    event.clear();
    EXPECT_TRUE(await(a));
    EXPECT_TRUE(await(b));
    EXPECT_FALSE(event.is_set());
    EXPECT_NE(repr(event).find("[unset]"), std::string::npos);
  });
}

TEST(Condition, WakesAsManyAsAreNotified) {
  in_loop([] {
    Condition condition;
    int woken = 0;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(create_task([&] {
        const std::unique_lock guard(condition);
        await(condition.wait());
        ++woken;
      }));
    }
    wait_all_tasks_blocked();
    EXPECT_THROW(condition.notify(), RuntimeError);
    await(condition.acquire());
    condition.notify(2);
    condition.release();
    wait_all_tasks_blocked();
    EXPECT_EQ(woken, 2);
    await(condition.acquire());
    condition.notify_all();
    condition.release();
    for (auto& task : tasks) await(task);
    EXPECT_EQ(woken, 3);
  });
}

// CPython: test_locks.py ConditionTests.test_wait_cancel_contested
TEST(Condition, TakesTheLockAgainBeforeItRaisesTheCancellation) {
  in_loop([] {
    Condition condition;
    bool held = false;
    auto waiter = create_task([&] {
      await(condition.acquire());
      try {
        await(condition.wait());
      } catch (const CancelledError&) {
        held = condition.locked();
        condition.release();
        throw;
      }
    });
    wait_all_tasks_blocked();
    await(condition.acquire());
    waiter.cancel();
    wait_all_tasks_blocked();
    EXPECT_FALSE(waiter.done());
    condition.release();
    wait_all_tasks_blocked();
    EXPECT_TRUE(waiter.cancelled());
    EXPECT_TRUE(held);
  });
}

// CPython 3.13: a notification is passed on.
TEST(Condition, PassesTheNotificationOfACancelledWaiterOn) {
  in_loop([] {
    Condition condition;
    const auto body = [&] {
      const std::unique_lock guard(condition);
      await(condition.wait());
    };
    auto a = create_task(body);
    auto b = create_task(body);
    wait_all_tasks_blocked();
    await(condition.acquire());
    condition.notify();
    a.cancel();
    condition.release();
    await(b);
    EXPECT_TRUE(a.cancelled());
  });
}

TEST(Condition, WaitForGivesTheLastValueOfThePredicate) {
  in_loop([] {
    Condition condition;
    int value = 0;
    auto waiter = create_task([&] {
      const std::unique_lock guard(condition);
      return await(condition.wait_for([&] { return value; }));
    });
    wait_all_tasks_blocked();
    for (int i : {0, 7}) {
      const std::unique_lock guard(condition);
      value = i;
      condition.notify_all();
    }
    EXPECT_EQ(await(waiter), 7);
  });
}

TEST(Semaphore, HandsItsUnitStraightToTheFirstWaiter) {
  in_loop([] {
    Semaphore semaphore;
    await(semaphore.acquire());
    auto a = create_task([&] { return await(semaphore.acquire()); });
    wait_all_tasks_blocked();
    semaphore.release();
    EXPECT_TRUE(semaphore.locked());
    EXPECT_TRUE(await(a));
  });
}

// CPython: test_locks.py SemaphoreTests.test_acquire_hang
TEST(Semaphore, PassesTheUnitOfACancelledWaiterOn) {
  in_loop([] {
    Semaphore semaphore;
    await(semaphore.acquire());
    auto a = create_task([&] { return await(semaphore.acquire()); });
    auto b = create_task([&] { return await(semaphore.acquire()); });
    wait_all_tasks_blocked();
    semaphore.release();
    a.cancel();
    EXPECT_TRUE(await(b));
    semaphore.release();
    EXPECT_NE(repr(semaphore).find("[unlocked, value:1]"), std::string::npos) << repr(semaphore);
  });
}

TEST(Semaphore, ChecksItsBounds) {
  EXPECT_THROW(Semaphore(-1), ValueError);
  BoundedSemaphore bounded(2);
  EXPECT_THROW(bounded.release(), ValueError);
  EXPECT_TRUE(bounded.try_lock());
  bounded.release();
}

TEST(Barrier, LetsAllGoWhenTheLastArrives) {
  in_loop([] {
    Barrier barrier(3);
    std::vector<std::size_t> order;
    std::vector<Task<void>> tasks;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 3; ++i) {
        tasks.push_back(create_task([&] { order.push_back(await(barrier.wait())); }));
      }
    }
    for (auto& task : tasks) await(task);
    EXPECT_EQ(order, (std::vector<std::size_t>{2, 0, 1, 2, 0, 1}));
    EXPECT_NE(repr(barrier).find("[filling, waiters:0/3]"), std::string::npos) << repr(barrier);
  });
}

TEST(Barrier, BreaksForThoseWhoWaitAndHealsByReset) {
  in_loop([] {
    Barrier barrier(2);
    auto waiter = create_task([&] { return await(barrier.wait()); });
    wait_all_tasks_blocked();
    EXPECT_EQ(barrier.n_waiting(), 1u);
    await(barrier.abort());
    EXPECT_THROW(await(waiter), BrokenBarrierError);
    EXPECT_TRUE(barrier.broken());
    EXPECT_THROW(await(barrier.wait()), BrokenBarrierError);
    await(barrier.reset());
    EXPECT_FALSE(barrier.broken());
  });
  EXPECT_THROW(Barrier(0), ValueError);
}

// CPython: test_locks.py BarrierTests.test_filling_tasks_cancel_one
TEST(Barrier, IsLeftByACancelledParty) {
  in_loop([] {
    Barrier barrier(2);
    auto waiter = create_task([&] { return await(barrier.wait()); });
    wait_all_tasks_blocked();
    waiter.cancel();
    wait_all_tasks_blocked();
    EXPECT_EQ(barrier.n_waiting(), 0u);
    EXPECT_FALSE(barrier.broken());
  });
}

TEST(Barrier, NumbersItsPartiesOnceEachAlsoAfterACancelledOne) {
  in_loop([] {
    Barrier barrier(4);
    const auto arrive = [&] { return create_task([&] { return await(barrier.wait()); }); };
    auto a = arrive();
    auto b = arrive();
    auto c = arrive();
    wait_all_tasks_blocked();
    b.cancel();
    wait_all_tasks_blocked();
    auto d = arrive();
    auto e = arrive();
    EXPECT_EQ(await(gather(std::vector{a, c, d, e})), (std::vector<std::size_t>{0, 1, 2, 3}))
        << "in order of arrival";
    // All over again, with the first one cancelled in the pass in which another comes.
    auto f = arrive();
    auto g = arrive();
    auto h = arrive();
    wait_all_tasks_blocked();
    f.cancel();
    auto i = arrive();
    wait_all_tasks_blocked();
    auto j = arrive();
    EXPECT_THROW(await(f), CancelledError);
    auto indices = await(gather(std::vector{g, h, i, j}));
    std::sort(indices.begin(), indices.end());
    EXPECT_EQ(indices, (std::vector<std::size_t>{0, 1, 2, 3}));
    EXPECT_EQ(barrier.n_waiting(), 0u);
  });
}

TEST(Lock, TryLockTakesWhatIsFreeAndTheWaitersStayInLine) {
  in_loop([] {
    Lock lock;
    Log log;
    await(lock.acquire());
    const auto wait = [&](const char* name) {
      return create_task([&, name] {
        const std::lock_guard guard(lock);
        log.push_back(name);
      });
    };
    auto first = wait("first");
    auto second = wait("second");
    wait_all_tasks_blocked();
    lock.release();  // the first is woken, but has not run
    EXPECT_TRUE(lock.try_lock());
    EXPECT_FALSE(lock.try_lock());
    log.push_back("overtook");
    wait_all_tasks_blocked();
    lock.release();
    auto third = wait("third");
    await(gather(first, second, third));
    EXPECT_EQ(log, (Log{"overtook", "first", "second", "third"}));
    EXPECT_FALSE(lock.locked());
  });
}

TEST(Lock, AWaiterThatWasOvertakenMayBeCancelled) {
  in_loop([] {
    Lock lock;
    await(lock.acquire());
    auto overtaken = create_task([&] { await(lock.acquire()); });
    auto next = create_task([&] { return await(lock.acquire()); });
    wait_all_tasks_blocked();
    lock.release();
    ASSERT_TRUE(lock.try_lock());
    wait_all_tasks_blocked();
    overtaken.cancel();
    EXPECT_THROW(await(overtaken), CancelledError);
    EXPECT_TRUE(lock.locked());
    lock.release();
    EXPECT_TRUE(await(next));
  });
}

TEST(Semaphore, TryLockMayTakeAUnitBackThatWasHandedOver) {
  in_loop([] {
    Semaphore semaphore(0);
    Log log;
    const auto wait = [&](const char* name) {
      return create_task([&, name] {
        await(semaphore.acquire());
        log.push_back(name);
      });
    };
    auto a = wait("a");
    auto b = wait("b");
    auto c = wait("c");
    wait_all_tasks_blocked();
    semaphore.release();
    semaphore.release();
    EXPECT_TRUE(semaphore.try_lock());  // a's
    EXPECT_TRUE(semaphore.try_lock());  // b's
    EXPECT_FALSE(semaphore.try_lock());
    wait_all_tasks_blocked();
    EXPECT_EQ(log, Log());
    b.cancel();
    semaphore.release();
    EXPECT_TRUE(semaphore.try_lock());  // a's again
    semaphore.release();                // c is the only one who waits at this moment
    wait_all_tasks_blocked();
    EXPECT_EQ(log, (Log{"c"}));
    semaphore.release();
    await(a);
    EXPECT_TRUE(b.cancelled());
    EXPECT_TRUE(semaphore.locked());
    semaphore.release();
    EXPECT_FALSE(semaphore.locked());
    EXPECT_TRUE(semaphore.try_lock());
    EXPECT_FALSE(semaphore.try_lock());
  });
}

// Whether tasks that take several locks in different orders ever get them all. They hold them for some
// passes.
template <class Lockable>
void expect_scoped_locks_end() {
  TestLoop loop;
  bool ended = false;
  const auto hold = [] {
    for (int i = 0; i < 3; ++i) aiofiber::await(aiofiber::sleep(std::chrono::seconds(0)));
  };
  loop.run_until_complete([&] {
    Lockable a;
    Lockable b;
    Lockable c;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 6; ++i) {
      tasks.push_back(create_task([&, i] {
        for (int round = 0; round < 5; ++round) {
          if (i % 3 == 0) {
            const std::scoped_lock guard(a, b);
            hold();
          } else if (i % 3 == 1) {
            const std::scoped_lock guard(b, a, c);
            hold();
          } else {
            const std::scoped_lock guard(c, b);
            hold();
          }
        }
      }));
    }
    auto all = gather(tasks);
    auto guard = create_task([&] {
      while (!all.done() && loop.iteration() < 20'000)
        aiofiber::await(aiofiber::sleep(std::chrono::seconds(0)));
      ended = all.done();
      for (auto& task : tasks) task.cancel();
    });
    await(guard);
    await(wait(tasks));
  });
  EXPECT_TRUE(ended) << "livelock";
  loop.close();
}

TEST(Lock, SeveralByScopedLockComeToAnEnd) { expect_scoped_locks_end<Lock>(); }
TEST(Condition, SeveralByScopedLockComeToAnEnd) { expect_scoped_locks_end<Condition>(); }
TEST(Semaphore, SeveralByScopedLockComeToAnEnd) { expect_scoped_locks_end<Semaphore>(); }

TEST(Lock, IsReleasedByTheUnwindingOfATaskWhenTheLoopCloses) {
  TestLoop loop;
  Lock lock;
  std::string left;
  set_log_sink([](LogLevel, std::string_view) {});  // of the tasks that are pending
  loop.run_until_complete([&] {
    for (const char* name : {"a", "b", "c"}) {
      create_task([&, name] {
        struct Leave {
          std::string& left;
          const char* name;
          ~Leave() { left += name; }
        } const leave{left, name};
        const std::lock_guard guard(lock);
        await(Event().wait());
      }).detach();
    }
    wait_all_tasks_blocked();
  });
  loop.close();
  set_log_sink({});
  EXPECT_EQ(left, "cba");  // the youngest first
}

TEST(TestLoop, JumpsToTheNextDeadline) {
  TestLoop loop;
  TimePoint seen{};
  loop.call_later(std::chrono::hours(1), [&] { seen = loop.time(); });
  EXPECT_EQ(loop.live_timers(), 1u);
  loop.advance(std::chrono::hours(1));
  EXPECT_EQ(seen, TimePoint(std::chrono::hours(1)));
  EXPECT_EQ(loop.live_timers(), 0u);
  loop.close();
}

}  // namespace
}  // namespace aiofiber
