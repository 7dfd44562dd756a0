// SPDX-License-Identifier: Apache-2.0
//
// Scenarios of locks, events, conditions, semaphores and barriers.
// Labels: slow
#include <mutex>

#include "explore/every.h"

namespace aiofiber::explored {
namespace {

const Scenario kLocks[] = {
    {"LockOfTwo",
     [] {
       Lock lock;
       int inside = 0;
       const auto worker = [&] {
         const std::unique_lock guard(lock);
         const Inside here(inside);
         yield();
       };
       all({worker, worker});
       must(!lock.locked(), "the lock is free");
     },
     true},
    {"LockOfFour",
     [] {
       Lock lock;
       int inside = 0;
       const auto worker = [&] {
         for (int i = 0; i < 2; ++i) {
           const std::unique_lock guard(lock);
           const Inside here(inside);
           yield();
         }
       };
       all({worker, worker, worker, worker});
       must(!lock.locked(), "the lock is free");
     }},
    {"LockHeldForATime",
     [] {
       Lock lock;
       int inside = 0;
       const auto worker = [&] {
         const std::unique_lock guard(lock);
         const Inside here(inside);
         nap(1);
       };
       all({worker, worker, worker});
       must(!lock.locked(), "the lock is free");
     }},
    {"LockIsFair",
     [] {
       Lock lock;
       std::vector<int> arrived;
       std::vector<int> served;
       const auto worker = [&](int number) {
         return [&, number] {
           arrived.push_back(number);
           const std::unique_lock guard(lock);
           served.push_back(number);
           yield();
         };
       };
       all({worker(0), worker(1), worker(2)});
       auto next = arrived.begin();
       for (const int number : served) {
         next = std::find(next, arrived.end(), number);
         must(next != arrived.end(), "first come, first served");
       }
     }},
    {"LockAndTryLock",
     [] {
       Lock lock;
       int inside = 0;
       const auto patient = [&] {
         const std::unique_lock guard(lock);
         const Inside here(inside);
         yield();
       };
       const auto hasty = [&] {
         const std::unique_lock guard(lock, std::try_to_lock);
         if (!guard.owns_lock()) return;
         const Inside here(inside);
         yield();
       };
       all({patient, hasty, patient, hasty});
       must(!lock.locked(), "the lock is free");
     }},
    {"LockAndWaitFor",
     [] {
       Lock lock;
       int inside = 0;
       const auto holder = [&] {
         const std::unique_lock guard(lock);
         const Inside here(inside);
         nap(1);
       };
       const auto waiter = [&] {
         try {
           await(wait_for(lock.acquire(), 1ms));
         } catch (const TimeoutError&) {
           return;
         }
         const std::unique_lock guard(lock, std::adopt_lock);
         const Inside here(inside);
         yield();
       };
       all({holder, waiter, waiter, holder});
       must(!lock.locked(), "the lock is free");
     }},
    {"LockInTimeout",
     [] {
       Lock lock;
       int inside = 0;
       const auto worker = [&] {
         try {
           await(timeout(2ms, [&] {
             const std::unique_lock guard(lock);
             const Inside here(inside);
             nap(1);
           }));
         } catch (const TimeoutError&) {
           if (time_limit) throw;
         }
       };
       all({worker, worker, worker});
       must(!lock.locked(), "the lock is free");
     }},
    {"TwoLocksInOppositeOrders",
     [] {
       Lock first;
       Lock second;
       int inside = 0;
       all({[&] {
              const std::scoped_lock guard(first, second);
              const Inside here(inside);
              yield();
            },
            [&] {
              const std::scoped_lock guard(second, first);
              const Inside here(inside);
              yield();
            }});
       must(!first.locked() && !second.locked(), "both locks are free");
     }},
    {"LockOfCoroutines",
     [] {
       Lock lock;
       int inside = 0;
       const auto fiber = [&] {
         const std::unique_lock guard(lock);
         const Inside here(inside);
         yield();
       };
       const auto coroutine = [&]() -> Coro<void> {
         co_await lock.acquire();
         const std::unique_lock guard(lock, std::adopt_lock);
         const Inside here(inside);
         co_await sleep(0s);
       };
       all({fiber, [&] { await(create_task(coroutine())); }, fiber});
       must(!lock.locked(), "the lock is free");
     }},
    {"EventOfTwo",
     [] {
       Event event;
       Crew crew({[&] { await(event.wait()); }, [&] { await(event.wait()); }});
       yield();
       event.set();
       crew.join();
     },
     true},
    {"EventSetAndCleared",
     [] {
       Event event;
       const auto waiter = [&] { await(event.wait()); };
       Crew crew({waiter, waiter, waiter});
       while (!crew.done()) {
         yield();
         event.set();
         event.clear();
       }
       crew.join();
     }},
    {"EventAndTimeout",
     [] {
       Event event;
       int late = 0;
       int seen = 0;
       const auto waiter = [&] {
         try {
           await(wait_for(event.wait(), 1ms));
           ++seen;
         } catch (const TimeoutError&) {
           ++late;
         }
       };
       Crew crew({waiter, waiter, waiter});
       nap(1);
       event.set();
       const Ended ended = crew.join();
       must(seen + late == ended.values, "seen or late, never both");
     }},
    {"ConditionNotifiedOnce",
     [] {
       Condition condition;
       int items = 0;
       int taken = 0;
       const auto consumer = [&] {
         const std::unique_lock guard(condition);
         await(condition.wait_for([&] { return items > 0; }));
         --items;
         ++taken;
       };
       Crew crew({consumer, consumer, consumer});
       for (int i = 0; i < 3; ++i) {
         const std::unique_lock guard(condition);
         ++items;
         condition.notify();
       }
       crew.join();
       must(items + taken == 3, "no item is lost");
       must(!condition.locked(), "the lock is free");
     }},
    {"ConditionOfTwo",
     [] {
       Condition condition;
       bool ready = false;
       const auto waiter = [&] {
         const std::unique_lock guard(condition);
         await(condition.wait_for([&] { return ready; }));
       };
       Crew crew({waiter});
       {
         const std::unique_lock guard(condition);
         ready = true;
         condition.notify();
       }
       crew.join();
       must(!condition.locked(), "the lock is free");
     },
     true},
    {"ConditionNotifiesAll",
     [] {
       Condition condition;
       bool ready = false;
       int inside = 0;
       const auto waiter = [&] {
         const std::unique_lock guard(condition);
         await(condition.wait_for([&] { return ready; }));
         const Inside here(inside);
         yield();
       };
       Crew crew({waiter, waiter, waiter});
       yield();
       {
         const std::unique_lock guard(condition);
         ready = true;
         condition.notify_all();
       }
       crew.join();
       must(!condition.locked(), "the lock is free");
     }},
    {"ConditionAndTimeout",
     [] {
       Condition condition;
       int tokens = 0;
       int taken = 0;
       const auto waiter = [&] {
         try {
           await(timeout(1ms, [&] {
             const std::unique_lock guard(condition);
             await(condition.wait_for([&] { return tokens > 0; }));
             --tokens;
             ++taken;
           }));
         } catch (const TimeoutError&) {
         }
       };
       Crew crew({waiter, waiter, waiter});
       nap(1);
       {
         const std::unique_lock guard(condition);
         tokens = 2;
         condition.notify(2);
       }
       crew.join();
       must(tokens + taken == 2, "no token is lost");
       must(!condition.locked(), "the lock is free");
     }},
    {"ConditionsOfOneLock",
     [] {
       Lock lock;
       Condition full(lock);
       Condition empty(lock);
       int items = 0;
       int moved = 0;
       bool over = false;
       const auto producer = [&] {
         for (int i = 0; i < 2; ++i) {
           const std::unique_lock guard(lock);
           await(empty.wait_for([&] { return items == 0 || over; }));
           ++items;
           full.notify();
         }
       };
       const auto consumer = [&] {
         for (int i = 0; i < 2; ++i) {
           const std::unique_lock guard(lock);
           await(full.wait_for([&] { return items > 0 || over; }));
           if (items > 0) --items, ++moved;
           empty.notify();
         }
       };
       Crew crew({producer, consumer, producer, consumer});
       nap(3);  // a crew that lost one of its tasks does not end by itself
       const bool in_time = crew.done();
       {
         const std::unique_lock guard(lock);
         over = true;
         full.notify_all();
         empty.notify_all();
       }
       if (undisturbed(crew.join()) && in_time) must(moved == 4, "all four are moved");
       must(!lock.locked(), "the lock is free");
     }},
    {"SemaphoreOfTwo",
     [] {
       Semaphore semaphore(1);
       int inside = 0;
       const auto worker = [&] {
         const std::unique_lock guard(semaphore);
         const Inside here(inside);
         yield();
       };
       all({worker, worker});
       must(semaphore.try_lock(), "the semaphore is free");
     },
     true},
    {"SemaphoreOfFive",
     [] {
       Semaphore semaphore(2);
       int inside = 0;
       const auto worker = [&] {
         const std::unique_lock guard(semaphore);
         const Inside here(inside, 2);
         yield();
       };
       all({worker, worker, worker, worker, worker});
       must(semaphore.try_lock() && semaphore.try_lock(), "both places are free");
       must(!semaphore.try_lock(), "there are only two");
     }},
    {"SemaphoreAndWaitFor",
     [] {
       Semaphore semaphore(1);
       int inside = 0;
       const auto worker = [&] {
         try {
           await(wait_for(semaphore.acquire(), 1ms));
         } catch (const TimeoutError&) {
           return;
         }
         const std::unique_lock guard(semaphore, std::adopt_lock);
         const Inside here(inside);
         nap(1);
       };
       all({worker, worker, worker});
       must(semaphore.try_lock(), "the place is free");
       must(!semaphore.try_lock(), "there is only one");
     }},
    {"SemaphoreAsASignal",
     [] {
       Semaphore semaphore(0);
       int taken = 0;
       const auto waiter = [&] {
         await(semaphore.acquire());
         ++taken;
       };
       Crew crew({waiter, waiter, waiter});
       for (int i = 0; i < 3; ++i) {
         semaphore.release();
         yield();
       }
       crew.join();
       while (semaphore.try_lock()) ++taken;
       must(taken == 3, "each release is taken once");
     }},
    {"BoundedSemaphoreOfCoroutines",
     [] {
       BoundedSemaphore semaphore(2);
       int inside = 0;
       const auto coroutine = [&]() -> Coro<void> {
         co_await semaphore.acquire();
         const std::unique_lock guard(semaphore, std::adopt_lock);
         const Inside here(inside, 2);
         co_await sleep(1ms);
       };
       const auto worker = [&] { await(create_task(coroutine())); };
       all({worker, worker, worker});
       try {
         semaphore.release();
         must(false, "one release too many is an error");
       } catch (const ValueError&) {
       }
     }},
    {"BarrierOfThree",
     [] {
       Barrier barrier(3);
       int passed = 0;
       const auto worker = [&] {
         try {
           await(barrier.wait());
           ++passed;
         } catch (const BrokenBarrierError&) {
         }
       };
       Crew crew({worker, worker, worker});
       nap(1);
       const bool aborted = !crew.done();
       if (aborted) await(barrier.abort());
       if (undisturbed(crew.join()) && !aborted) must(passed == 3, "all pass");
       must(barrier.n_waiting() == 0, "nobody is left");
     }},
    {"BarrierUsedTwice",
     [] {
       Barrier barrier(2);
       int first = 0;
       int second = 0;
       const auto worker = [&] {
         try {
           await(barrier.wait());
           ++first;
           await(barrier.wait());
           ++second;
         } catch (const BrokenBarrierError&) {
         }
       };
       Crew crew({worker, worker});
       nap(1);
       const bool aborted = !crew.done();
       if (aborted) await(barrier.abort());
       if (undisturbed(crew.join()) && !aborted) must(first == 2 && second == 2, "both pass twice");
       must(second <= first, "nobody passes the second time before the first");
       must(barrier.n_waiting() == 0, "nobody is left");
     }},
    {"BarrierReset",
     [] {
       Barrier barrier(3);
       int broken = 0;
       const auto worker = [&] {
         try {
           await(barrier.wait());
         } catch (const BrokenBarrierError&) {
           ++broken;
         }
       };
       Crew crew({worker, worker});
       while (!crew.done()) {
         nap(1);
         await(barrier.reset());
       }
       const Ended ended = crew.join();
       must(broken == ended.values, "reset() ends their wait");
       must(!barrier.broken(), "the barrier can be used again");
     }},
};

INSTANTIATE_TEST_SUITE_P(Locks, Explored, ::testing::ValuesIn(kLocks), name_of_scenario);

}  // namespace
}  // namespace aiofiber::explored
