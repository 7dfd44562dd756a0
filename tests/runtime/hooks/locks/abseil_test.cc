// SPDX-License-Identifier: Apache-2.0
//
// The locks of abseil: the task parks, the thread goes on; between tasks, between tasks and plain threads,
// and between loops. Without the hook most of these tests would hang the thread. Compiled twice: with
// abseil's shared library and with its archive, where a thread's wait is the hook's too.
// Labels: threads long
#include <absl/base/call_once.h>
#include <absl/base/internal/thread_identity.h>
#include <absl/synchronization/barrier.h>
#include <absl/synchronization/blocking_counter.h>
#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/hooks.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using absl::Milliseconds;

// What a lock guards here. ThreadSanitizer does not see the locks of an abseil that was built without it, so
// the variables are atomic, but not their changes: these would be lost without the lock.
class Guarded {
 public:
  explicit Guarded(int value = 0) : value_(value) {}
  operator int() const { return value_.load(std::memory_order_relaxed); }
  int operator=(int value) {
    value_.store(value, std::memory_order_relaxed);
    return value;
  }
  int operator++() { return *this = *this + 1; }
  int operator--() { return *this = *this - 1; }

 private:
  std::atomic<int> value_;
};

// ---- Mutex

TEST(AbseilMutex, HeldOverASuspensionKeepsOtherTasksOut) {
  Fibers fibers;
  absl::Mutex mutex;
  int inside = 0, passed = 0;
  for (int i = 0; i < 20; ++i) {
    fibers.spawn([&] {
      const absl::MutexLock lock(&mutex);
      EXPECT_EQ(++inside, 1);
      sleep_ms(1);
      --inside;
      ++passed;
    });
  }
  fibers.run();
  EXPECT_EQ(passed, 20);
}

TEST(AbseilMutex, LetsReadersTogetherAndWritersAlone) {
  Fibers fibers;
  absl::Mutex mutex;
  int readers = 0, writers = 0, most_readers = 0;
  for (int i = 0; i < 30; ++i) {
    fibers.spawn([&, i] {
      if (i % 5 == 0) {
        const absl::WriterMutexLock lock(&mutex);
        EXPECT_EQ(++writers + readers, 1);
        sleep_ms(1);
        --writers;
      } else {
        const absl::ReaderMutexLock lock(&mutex);
        most_readers = std::max(most_readers, ++readers);
        EXPECT_EQ(writers, 0);
        sleep_ms(1);
        --readers;
      }
    });
  }
  fibers.run();
  EXPECT_GT(most_readers, 1);
}

TEST(AbseilMutex, HeldByAThreadLeavesTheTasksThreadFree) {
  Fibers fibers;
  absl::Mutex mutex;
  std::atomic<bool> taken{false}, release{false};
  std::thread thread([&] {
    const absl::MutexLock lock(&mutex);
    taken = true;
    while (!release) std::this_thread::yield();
  });
  while (!taken) std::this_thread::yield();
  Ticker ticker(fibers);
  int got = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      const absl::MutexLock lock(&mutex);
      if (++got == 5) ticker.stop();
    });
  }
  fibers.spawn([&] {
    ticker.wait_for_turns();
    EXPECT_EQ(got, 0);
    release = true;
  });
  fibers.run();
  thread.join();
  EXPECT_EQ(got, 5);
}

TEST(AbseilMutex, HeldByATaskMakesAThreadWait) {
  Fibers fibers;
  absl::Mutex mutex;
  Guarded state;
  std::thread thread;
  fibers.spawn([&] {
    const absl::MutexLock lock(&mutex);
    std::atomic<bool> started{false};
    thread = std::thread([&] {
      started = true;
      const absl::MutexLock wait(&mutex);
      EXPECT_EQ(state, 1);
    });
    while (!started) sleep_ms(1);
    sleep_ms(5);
    state = 1;
  });
  fibers.run();
  thread.join();
}

TEST(AbseilMutex, PassesBetweenTheTasksOfSeveralLoops) {
  constexpr int kLoops = 3, kTasks = 10, kTimes = 200;
  absl::Mutex mutex;
  Guarded count;
  std::vector<std::thread> threads;
  for (int i = 0; i < kLoops; ++i) {
    threads.emplace_back([&] {
      Fibers fibers;
      for (int task = 0; task < kTasks; ++task) {
        fibers.spawn([&] {
          for (int time = 0; time < kTimes; ++time) {
            const absl::MutexLock lock(&mutex);
            const int before = count;
            if (time % 8 == 0) runtime::yield_now();  // with the lock
            count = before + 1;
          }
        });
      }
      fibers.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, kLoops * kTasks * kTimes);
}

// ---- Condition

TEST(AbseilCondition, IsAwaitedByTasksAndMadeTrueByTasksAndThreads) {
  for (const bool by_thread : {false, true}) {
    Fibers fibers;
    absl::Mutex mutex;
    bool ready = false;
    Guarded passed;
    Ticker ticker(fibers);
    for (int i = 0; i < 5; ++i) {
      fibers.spawn([&, i] {
        if (i % 2 == 0) {
          mutex.LockWhen(absl::Condition(&ready));
        } else {
          mutex.Lock();
          mutex.Await(absl::Condition(&ready));
        }
        EXPECT_TRUE(ready);
        if (++passed == 5) ticker.stop();
        mutex.Unlock();
      });
    }
    const auto make_true = [&] {
      const absl::MutexLock lock(&mutex);
      EXPECT_EQ(passed, 0);
      ready = true;
    };
    std::thread thread;
    fibers.spawn([&] {
      ticker.wait_for_turns();
      if (by_thread) {
        thread = std::thread(make_true);
      } else {
        make_true();
      }
    });
    fibers.run();
    if (thread.joinable()) thread.join();
    EXPECT_EQ(passed, 5);
  }
}

TEST(AbseilCondition, GivesUpInTimeWhileTheThreadIsFree) {
  Fibers fibers;
  absl::Mutex mutex;
  bool never = false, soon = false;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    const double start = now_ms();
    mutex.Lock();
    EXPECT_FALSE(mutex.AwaitWithTimeout(absl::Condition(&never), Milliseconds(10)));
    EXPECT_FALSE(mutex.AwaitWithDeadline(absl::Condition(&never), absl::Now() + Milliseconds(10)));
    EXPECT_FALSE(mutex.AwaitWithDeadline(absl::Condition(&never), absl::InfinitePast()));
    mutex.Unlock();
    EXPECT_FALSE(mutex.LockWhenWithTimeout(absl::Condition(&never), Milliseconds(10)));
    mutex.Unlock();
    EXPECT_FALSE(mutex.LockWhenWithDeadline(absl::Condition(&never), absl::Now() + Milliseconds(10)));
    mutex.Unlock();
    EXPECT_FALSE(mutex.ReaderLockWhenWithTimeout(absl::Condition(&never), Milliseconds(10)));
    mutex.ReaderUnlock();
    EXPECT_GE(now_ms() - start, 49);
    EXPECT_LT(now_ms() - start, 500);
    EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
    fibers.spawn([&] {
      const absl::MutexLock lock(&mutex);
      soon = true;
    });
    EXPECT_TRUE(mutex.LockWhenWithTimeout(absl::Condition(&soon), absl::Seconds(10)));
    mutex.Unlock();
    EXPECT_LT(now_ms() - start, 1000);
    ticker.stop();
  });
  fibers.run();
}

// abseil calls the condition of one task on the stack of another, which unlocks the mutex. If it suspends
// there, a third task uses locks in the middle of the second one's call.
TEST(AbseilCondition, MaySuspendWhileOtherTasksUseLocks) {
  Fibers fibers;
  absl::Mutex mutex, other;
  int value = 0, evaluated = 0, others = 0;
  for (int i = 1; i <= 5; ++i) {
    fibers.spawn([&, i] {
      const auto reached = [&, i] {
        ++evaluated;
        sleep_ms(1);
        return value >= i;
      };
      mutex.LockWhen(absl::Condition(&reached));
      EXPECT_GE(value, i);
      mutex.Unlock();
    });
    fibers.spawn([&] {
      sleep_ms(2);
      const absl::MutexLock lock(&mutex);
      ++value;
    });
    fibers.spawn([&] {
      for (int time = 0; time < 20; ++time) {
        const absl::MutexLock lock(&other);
        sleep_ms(1);
        ++others;
      }
    });
  }
  fibers.run();
  EXPECT_EQ(value, 5);
  EXPECT_GE(evaluated, 5);
  EXPECT_EQ(others, 100);
}

// ---- CondVar

TEST(AbseilCondVar, WakesOneTaskOrAll) {
  Fibers fibers;
  absl::Mutex mutex;
  absl::CondVar condition;
  int tickets = 0, passed = 0;
  for (int i = 0; i < 6; ++i) {
    fibers.spawn([&] {
      const absl::MutexLock lock(&mutex);
      while (tickets == 0) condition.Wait(&mutex);
      --tickets;
      ++passed;
    });
  }
  fibers.spawn([&] {
    sleep_ms(2);
    {
      const absl::MutexLock lock(&mutex);
      tickets = 1;
      condition.Signal();
    }
    sleep_ms(2);
    EXPECT_EQ(passed, 1);
    const absl::MutexLock lock(&mutex);
    tickets = 5;
    condition.SignalAll();
  });
  fibers.run();
  EXPECT_EQ(passed, 6);
}

TEST(AbseilCondVar, TimesOutAndIsSignalledByAThread) {
  Fibers fibers;
  absl::Mutex mutex;
  absl::CondVar condition;
  Guarded ready;
  Ticker ticker(fibers);
  std::thread thread;
  fibers.spawn([&] {
    const absl::MutexLock lock(&mutex);
    EXPECT_TRUE(condition.WaitWithTimeout(&mutex, Milliseconds(10)));
    EXPECT_TRUE(condition.WaitWithDeadline(&mutex, absl::Now() + Milliseconds(10)));
    EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
    thread = std::thread([&] {
      const absl::MutexLock in_thread(&mutex);
      ready = 1;
      condition.Signal();
    });
    while (ready == 0) EXPECT_FALSE(condition.WaitWithTimeout(&mutex, absl::Seconds(10)));
    ticker.stop();
  });
  fibers.run();
  thread.join();
}

// ---- Notification, Barrier, BlockingCounter

TEST(AbseilNotification, IsWaitedForByTasksAndThreads) {
  for (const bool by_thread : {false, true}) {
    Fibers fibers;
    absl::Notification notification;
    Ticker ticker(fibers);
    int passed = 0;
    for (int i = 0; i < 3; ++i) {
      fibers.spawn([&] {
        EXPECT_FALSE(notification.WaitForNotificationWithTimeout(Milliseconds(2)));
        EXPECT_FALSE(notification.WaitForNotificationWithDeadline(absl::Now() + Milliseconds(2)));
        notification.WaitForNotification();
        if (++passed == 3) ticker.stop();
      });
    }
    std::thread waits([&] { notification.WaitForNotification(); }), notifies;
    fibers.spawn([&] {
      ticker.wait_for_turns();
      sleep_ms(10);
      EXPECT_EQ(passed, 0);
      if (by_thread) {
        notifies = std::thread([&] { notification.Notify(); });
      } else {
        notification.Notify();
      }
    });
    fibers.run();
    waits.join();
    if (notifies.joinable()) notifies.join();
    EXPECT_EQ(passed, 3);
  }
}

TEST(AbseilBarrier, CollectsTasksAndAThread) {
  Fibers fibers;
  auto* const barrier = new absl::Barrier(5);  // the last one out deletes it
  Guarded passed;
  absl::Mutex mutex;
  const auto arrive = [&] {
    if (barrier->Block()) delete barrier;
    const absl::MutexLock lock(&mutex);
    ++passed;
  };
  for (int i = 0; i < 4; ++i) fibers.spawn(arrive);
  std::thread thread(arrive);
  fibers.run();
  thread.join();
  EXPECT_EQ(passed, 5);
}

TEST(AbseilBlockingCounter, IsWaitedForUntilTasksAndAThreadHaveCounted) {
  Fibers fibers;
  absl::BlockingCounter counter(4);
  std::atomic<int> counted{0};
  const auto count = [&] {
    ++counted;
    counter.DecrementCount();
  };
  bool waited = false;
  fibers.spawn([&] {
    counter.Wait();
    EXPECT_EQ(counted, 4);
    waited = true;
  });
  for (int i = 0; i < 3; ++i) {
    fibers.spawn([&] {
      sleep_ms(1);
      count();
    });
  }
  std::thread thread(count);
  fibers.run();
  thread.join();
  EXPECT_TRUE(waited);
}

// ---- call_once

TEST(AbseilCallOnce, LetsTheTaskThatInitialisesRun) {
  Fibers fibers;
  absl::once_flag flag;
  Guarded made, passed;
  Ticker ticker(fibers);
  std::thread thread;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      absl::call_once(flag, [&] {
        thread = std::thread([&] { absl::call_once(flag, [] { ADD_FAILURE(); }); });
        ticker.wait_for_turns();
        ++made;
      });
      EXPECT_EQ(made, 1);
      if (++passed == 5) ticker.stop();
    });
  }
  fibers.run();
  thread.join();
  EXPECT_EQ(passed, 5);
}

TEST(AbseilCallOnce, IsWaitedForWhileAThreadInitialises) {
  Fibers fibers;
  absl::once_flag flag;
  std::atomic<bool> begun{false}, release{false}, made{false};
  std::thread thread([&] {
    absl::call_once(flag, [&] {
      begun = true;
      while (!release) std::this_thread::yield();
      made = true;
    });
  });
  while (!begun) std::this_thread::yield();
  Ticker ticker(fibers);
  fibers.spawn([&] {
    absl::call_once(flag, [] { ADD_FAILURE(); });
    EXPECT_TRUE(made);
    ticker.stop();
  });
  fibers.spawn([&] {
    ticker.wait_for_turns();
    release = true;
  });
  fibers.run();
  thread.join();
}

// ---- identities

TEST(AbseilIdentity, IsATasksOwnForItsLifeAndIsUsedAgain) {
  using absl::base_internal::CurrentThreadIdentityIfPresent;
  std::set<const void*> all;
  for (int round = 0; round < 10; ++round) {
    Fibers fibers;
    absl::Mutex mutex;
    std::set<const void*> used;
    for (int i = 0; i < 5; ++i) {
      fibers.spawn([&] {
        const void* mine = nullptr;
        for (int time = 0; time < 3; ++time) {
          const absl::MutexLock lock(&mutex);
          const void* const now = CurrentThreadIdentityIfPresent();
          if (mine == nullptr && now != nullptr) {
            EXPECT_TRUE(used.insert(mine = now).second);
          }
          EXPECT_EQ(now, mine);
          sleep_ms(1);
        }
      });
    }
    const void* const threads = CurrentThreadIdentityIfPresent();
    fibers.run();
    EXPECT_EQ(CurrentThreadIdentityIfPresent(), threads) << "the thread keeps its own";
    EXPECT_EQ(used.count(threads), 0u);
    EXPECT_GE(used.size(), 4u) << "all that waited";
    all.insert(used.begin(), used.end());
  }
  EXPECT_LE(all.size(), 6u) << "tasks that ended give theirs back";
}

// abseil (unless it was built with NDEBUG) notes which locks a thread took while it held which, and aborts
// the program if two orders contradict. Tasks of a thread hold locks at the same time in any order.
TEST(AbseilIdentity, KeepsTheSearchForDeadlocksFromMixingTasks) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kAbort);
  Fibers fibers;
  absl::Mutex a, b;
  int done = 0;
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&, i] {
      for (int time = 0; time < 3; ++time) {
        const absl::MutexLock lock((i + time) % 2 == 0 ? &a : &b);
        runtime::yield_now();
        ++done;
      }
    });
  }
  fibers.run();
  EXPECT_EQ(done, 30);
}

// ---- cancellation, and a loop that ends

TEST(AbseilMutex, ACancelledTaskGetsTheLockAndIsToldAtTheNextWait) {
  Fibers fibers;
  absl::Mutex mutex;
  bool got = false;
  runtime::Fiber* waiter = nullptr;
  fibers.spawn([&] {
    const absl::MutexLock lock(&mutex);
    while (waiter->state != AIOFIBER_WAITING) sleep_ms(1);
    EXPECT_TRUE(Fibers::interrupt(*waiter));
    sleep_ms(2);
    EXPECT_FALSE(got);
  });
  waiter = &fibers.spawn([&] {
    const absl::MutexLock lock(&mutex);
    got = true;
    EXPECT_FAILS_WITH(ECANCELED, outcome_of([] { return ::usleep(1000); }));
  });
  fibers.run();
  EXPECT_TRUE(got);
}

TEST(AbseilMutex, ACancellationIsRaisedAfterTheWait) {
  asyncio::run([] {
    absl::Mutex mutex;
    bool got = false;
    mutex.Lock();
    auto task = asyncio::create_task([&] {
      const absl::MutexLock lock(&mutex);
      got = true;
      asyncio::await(asyncio::sleep(asyncio::Duration()));
      ADD_FAILURE() << "not cancelled";
    });
    asyncio::await(asyncio::sleep(asyncio::Duration()));
    task.cancel();
    asyncio::await(asyncio::sleep(asyncio::Duration()));
    EXPECT_FALSE(got);
    EXPECT_FALSE(task.done());
    mutex.Unlock();
    EXPECT_THROW(asyncio::await(task), asyncio::CancelledError);
    EXPECT_TRUE(got);
    EXPECT_TRUE(mutex.TryLock());
    mutex.Unlock();
  });
}

TEST(AbseilMutex, AWaitInATaskOfALoopThatClosesBlocksUntilItEnds) {
  absl::Mutex mutex;
  std::atomic<bool> release{false}, got{false};
  std::atomic<bool> taken{false};
  std::thread thread([&] {
    const absl::MutexLock lock(&mutex);
    taken = true;
    while (!release) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  while (!taken) std::this_thread::yield();
  {
    asyncio::EventLoop loop;
    loop.set_exception_handler([](asyncio::EventLoop&, const asyncio::ExceptionContext&) {});
    auto task = asyncio::Task<void>();
    loop.run_until_complete([&] {
      task = asyncio::create_task([&] {
        const absl::MutexLock lock(&mutex);
        got = true;
      });
      asyncio::await(asyncio::sleep(asyncio::Duration()));
    });
    EXPECT_FALSE(got);
    release = true;
    loop.close();
    EXPECT_TRUE(got);
  }
  thread.join();
}

// ---- what others see

TEST(AbseilMutex, IsShownAsALockWithoutAnAddress) {
  Fibers fibers;
  absl::Mutex mutex;
  const runtime::Fiber* waiter = nullptr;
  fibers.spawn([&] {
    const absl::MutexLock lock(&mutex);
    while (waiter->state != AIOFIBER_WAITING) sleep_ms(1);
    EXPECT_EQ(waiter->wait_kind, static_cast<std::uint32_t>(AIOFIBER_WAIT_LOCK));
    EXPECT_EQ(runtime::describe_wait(*waiter, runtime::snapshot_tasks()), "lock");
  });
  waiter = &fibers.spawn([&] { const absl::MutexLock lock(&mutex); });
  fibers.run();
}

// ---- where the hook stands aside

TEST(AbseilMutex, WorksBetweenPlainThreads) {
  absl::Mutex mutex;
  Guarded count;
  bool never = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int time = 0; time < 500; ++time) {
        const absl::MutexLock lock(&mutex);
        const int before = count;
        if (time % 50 == 0) ::usleep(10);
        count = before + 1;
      }
      const double start = now_ms();
      EXPECT_FALSE(mutex.LockWhenWithTimeout(absl::Condition(&never), Milliseconds(5)));
      mutex.Unlock();
      EXPECT_FALSE(mutex.LockWhenWithDeadline(absl::Condition(&never), absl::Now() + Milliseconds(5)));
      mutex.Unlock();
      EXPECT_GE(now_ms() - start, 9.9);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 2000);
}

TEST(AbseilMutex, BlocksTheThreadWhereHooksAreDisabled) {
  Fibers fibers;
  absl::Mutex mutex;
  bool never = false;
  int ticks = 0;
  bool ended = false;
  fibers.spawn([&] {
    sleep_ms(2);
    const hooks::Disable scope;
    const int before = ticks;
    EXPECT_FALSE(mutex.LockWhenWithTimeout(absl::Condition(&never), Milliseconds(20)));
    mutex.Unlock();
    EXPECT_EQ(ticks, before);
    std::atomic<bool> taken{false};
    std::thread thread([&] {
      const absl::MutexLock lock(&mutex);
      taken = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    });
    while (!taken) std::this_thread::yield();
    {
      const absl::MutexLock lock(&mutex);
      EXPECT_EQ(ticks, before);
    }
    thread.join();
    ended = true;
  });
  fibers.spawn([&] {
    while (!ended) {
      sleep_ms(1);
      ++ticks;
    }
  });
  fibers.run();
}

TEST(AbseilMutex, WorksInAForkedChildOfATask) {
  if (AIOFIBER_TSAN) GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts a thread";
  Fibers fibers;
  absl::Mutex mutex;
  fibers.spawn([&] {
    const absl::MutexLock lock(&mutex);
    sleep_ms(2);  // the other one waits now
    const pid_t child = ::fork();
    if (child == 0) {
      absl::Mutex own;
      absl::Notification notification;
      std::thread thread([&] {
        const absl::MutexLock in_thread(&own);
        notification.Notify();
      });
      notification.WaitForNotification();
      thread.join();
      bool never = false;
      const bool waited = own.LockWhenWithTimeout(absl::Condition(&never), Milliseconds(5));
      ::_exit(waited ? 1 : 0);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  });
  fibers.spawn([&] { const absl::MutexLock lock(&mutex); });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
