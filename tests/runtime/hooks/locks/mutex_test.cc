// SPDX-License-Identifier: Apache-2.0
//
// Mutexes and condition variables of the C and C++ libraries: the task parks, the thread goes on; between
// tasks, and between tasks and plain threads. Without these hooks most of these tests would hang the thread.
// Not for ThreadSanitizer, which reports the hand-over of a mutex as an unlock by a wrong thread.
//
// Labels: long
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "aiofiber/hooks.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using namespace std::chrono_literals;

// ---- mutexes

TEST(HookedMutex, HeldOverASuspensionKeepsOtherTasksOutInOrder) {
  Fibers fibers;
  std::mutex mutex;
  int inside = 0;
  std::vector<int> order;
  for (int i = 0; i < 20; ++i) {
    fibers.spawn([&, i] {
      const std::lock_guard lock(mutex);
      EXPECT_EQ(++inside, 1);
      sleep_ms(1);
      --inside;
      order.push_back(i);
    });
  }
  fibers.run();
  ASSERT_EQ(order.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(HookedMutex, TheRegistryShowsWhichLockATaskWaitsFor) {
  Fibers fibers;
  std::mutex mutex;
  std::condition_variable condition;
  bool ready = false;
  const runtime::Fiber* locker = nullptr;
  const runtime::Fiber* waiter = nullptr;
  fibers.spawn([&] {
    const std::lock_guard lock(mutex);
    sleep_ms(1);
    ASSERT_NE(locker, nullptr);
    EXPECT_EQ(locker->wait_kind, static_cast<std::uint32_t>(AIOFIBER_WAIT_LOCK));
    EXPECT_EQ(locker->wait_arg, reinterpret_cast<std::uint64_t>(mutex.native_handle()));
    ready = true;
  });
  fibers.spawn([&] {
    locker = runtime::current_fiber();
    const std::lock_guard lock(mutex);
  });
  std::mutex other;
  fibers.spawn([&] {
    waiter = runtime::current_fiber();
    std::unique_lock lock(other);
    condition.wait(lock, [&] { return ready; });
  });
  fibers.spawn([&] {
    sleep_ms(2);
    EXPECT_EQ(waiter->wait_kind, static_cast<std::uint32_t>(AIOFIBER_WAIT_CONDITION));
    EXPECT_EQ(waiter->wait_arg, reinterpret_cast<std::uint64_t>(condition.native_handle()));
    const std::lock_guard lock(other);
    condition.notify_all();
  });
  fibers.run();
}

TEST(HookedMutex, RecursiveKnowsItsTask) {
  Fibers fibers;
  std::recursive_mutex mutex;
  int inside = 0;
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      const std::lock_guard outer(mutex);
      const std::lock_guard inner(mutex);
      EXPECT_EQ(++inside, 1);
      sleep_ms(1);
      EXPECT_TRUE(mutex.try_lock());
      mutex.unlock();
      --inside;
    });
  }
  fibers.run();
  EXPECT_EQ(inside, 0);
}

TEST(HookedMutex, ErrorCheckingTellsTasksApart) {
  Fibers fibers;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &attributes);
  fibers.spawn([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    sleep_ms(5);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), EPERM);
  });
  fibers.spawn([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), EPERM);
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  });
  fibers.run();
  pthread_mutex_destroy(&mutex);
}

TEST(HookedMutex, TimedLockGivesUpInTime) {
  Fibers fibers;
  std::timed_mutex mutex;
  fibers.spawn([&] {
    const std::lock_guard lock(mutex);
    sleep_ms(40);
  });
  fibers.spawn([&] {
    const double start = now_ms();
    EXPECT_FALSE(mutex.try_lock_for(10ms));
    EXPECT_GE(now_ms() - start, 9);
    EXPECT_LT(now_ms() - start, 35);
    EXPECT_TRUE(mutex.try_lock_for(1s));
    mutex.unlock();
  });
  fibers.run();
}

TEST(HookedMutex, TimedLockLooksAtTheTimeOnlyIfItHasToWait) {
  Fibers fibers;
  std::recursive_timed_mutex mutex;
  constexpr timespec kInvalid{0, -1};
  fibers.spawn([&] {
    EXPECT_EQ(pthread_mutex_timedlock(mutex.native_handle(), &kInvalid), 0);
    sleep_ms(5);
    mutex.unlock();
  });
  fibers.spawn([&] {
    EXPECT_EQ(pthread_mutex_timedlock(mutex.native_handle(), &kInvalid), EINVAL);
    constexpr timespec kPast{-1, 0};
    EXPECT_EQ(pthread_mutex_timedlock(mutex.native_handle(), &kPast), ETIMEDOUT);
  });
  fibers.run();
}

TEST(HookedMutex, ReleasedUnderDisableIsFreeForOtherTasks) {
  Fibers fibers;
  std::recursive_mutex mutex;
  fibers.spawn([&] {
    mutex.lock();
    const hooks::Disable off;
    mutex.lock();
    mutex.unlock();
    mutex.unlock();
  });
  fibers.spawn([&] {
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  });
  fibers.run();
}

// The tasks that wait in the parent do not exist in the child, so the child must not hand the mutex to them.
TEST(HookedMutex, IsTheForkedChildsAloneThoughTasksWaitForIt) {
  Fibers fibers;
  std::mutex mutex;
  int status = -1;
  fibers.spawn([&] {
    mutex.lock();
    sleep_ms(5);                                  // the other task waits
    for (int losses = 0; losses < 4; ++losses) {  // then it asks for the mutex to be handed over
      mutex.unlock();
      mutex.lock();
      ::sched_yield();
    }
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(5);
      mutex.unlock();
      mutex.lock();
      ::_exit(7);
    }
    mutex.unlock();
    ::waitpid(child, &status, 0);
  });
  fibers.spawn([&] { const std::lock_guard lock(mutex); });
  fibers.run();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(HookedMutex, IsReleasedByItsTaskThoughAnotherOnlyTries) {
  Fibers fibers;
  std::mutex mutex;
  std::recursive_mutex recursive;
  std::shared_mutex shared;
  const double start = now_ms();
  const auto in_time = [start] { return now_ms() - start < 2000; };
  fibers.spawn([&] {
    const std::scoped_lock locks(mutex, recursive, shared);
    sleep_ms(5);
  });
  fibers.spawn([&] {
    while (!mutex.try_lock() && in_time()) {
    }
    while (!recursive.try_lock() && in_time()) {
    }
    while (!shared.try_lock_shared() && in_time()) {
    }
    ASSERT_TRUE(in_time());
    mutex.unlock();
    recursive.unlock();
    shared.unlock_shared();
  });
  fibers.run();
}

TEST(HookedMutex, IsNotLostByACancelledTask) {
  Fibers fibers;
  std::mutex mutex;
  fibers.spawn([&] {
    const std::lock_guard lock(mutex);
    sleep_ms(10);
  });
  runtime::Fiber& waiter = fibers.spawn([&] {
    mutex.lock();  // the cancellation comes while it waits
    EXPECT_TRUE(runtime::current_fiber()->interrupted);
    mutex.unlock();
    EXPECT_FAILS_WITH(ECANCELED, outcome_of([] { return ::usleep(1000); }));
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(waiter));
  });
  fibers.run();
}

// The thread takes the mutex back at once, every time; the tasks get it all the same, as it is handed over.
TEST(HookedMutex, IsHandedOverByAThreadThatHardlyLetsGo) {
  Fibers fibers;
  std::mutex mutex;
  std::atomic<bool> stop{false};
  std::atomic<long> by_thread{0};
  long by_tasks = 0;
  long protected_count = 0;
  std::thread hammer([&] {
    while (!stop) {
      const std::lock_guard lock(mutex);
      ++protected_count;
      ++by_thread;
    }
  });
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      for (int round = 0; round < 50; ++round) {
        const std::lock_guard lock(mutex);
        ++protected_count;
        ++by_tasks;
        if (round % 10 == 0) ::usleep(200);
      }
    });
  }
  const double start = now_ms();
  fibers.run();
  stop = true;
  hammer.join();
  EXPECT_EQ(by_tasks, 500);
  EXPECT_EQ(protected_count, by_tasks + by_thread);
  EXPECT_LT(now_ms() - start, 5000);
}

// Inside pthread_cond_wait libc releases the mutex without calling a hook.
TEST(HookedMutex, IsFoundFreeThoughAThreadReleasedItInACondWait) {
  Fibers fibers;
  std::mutex mutex;
  std::condition_variable condition;
  bool ready = false;
  std::atomic<bool> has_it{false};
  std::thread thread([&] {
    std::unique_lock lock(mutex);
    has_it = true;
    const double until = now_ms() + 20;
    while (now_ms() < until) {  // the task queues meanwhile
    }
    condition.wait(lock, [&] { return ready; });
  });
  fibers.spawn([&] {
    while (!has_it) sleep_ms(1);
    const std::lock_guard lock(mutex);
    ready = true;
    condition.notify_one();
  });
  fibers.run();
  thread.join();
  EXPECT_TRUE(ready);
}

// ---- condition variables

TEST(HookedCondition, WakesTasksOneByOneAndAllAtOnce) {
  Fibers fibers;
  std::mutex mutex;
  std::condition_variable condition;
  int tickets = 0;
  int served = 0;
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      std::unique_lock lock(mutex);
      condition.wait(lock, [&] { return tickets > 0; });
      --tickets;
      ++served;
    });
  }
  fibers.spawn([&] {
    sleep_ms(3);
    {
      const std::lock_guard lock(mutex);
      tickets = 1;
    }
    condition.notify_one();
    sleep_ms(3);
    EXPECT_EQ(served, 1);
    {
      const std::lock_guard lock(mutex);
      tickets = 9;
    }
    condition.notify_all();
  });
  fibers.run();
  EXPECT_EQ(served, 10);
}

TEST(HookedCondition, IsSignalledByAThreadAndSignalsOne) {
  Fibers fibers;
  std::mutex mutex;
  std::condition_variable condition;
  int turn = 0;  // even: the task's
  std::thread thread([&] {
    for (int i = 1; i < 200; i += 2) {
      std::unique_lock lock(mutex);
      condition.wait(lock, [&] { return turn == i; });
      ++turn;
      condition.notify_all();
    }
  });
  fibers.spawn([&] {
    for (int i = 0; i < 200; i += 2) {
      std::unique_lock lock(mutex);
      condition.wait(lock, [&] { return turn == i; });
      ++turn;
      condition.notify_all();
    }
  });
  fibers.run();
  thread.join();
  EXPECT_EQ(turn, 200);
}

TEST(HookedCondition, TimesOutWithTheMutexHeld) {
  Fibers fibers;
  std::mutex mutex;
  std::condition_variable condition;
  for (int i = 0; i < 20; ++i) {
    fibers.spawn([&] {
      std::unique_lock lock(mutex);
      const double start = now_ms();
      EXPECT_EQ(condition.wait_for(lock, 20ms), std::cv_status::timeout);
      EXPECT_GE(now_ms() - start, 19);
      EXPECT_EQ(condition.wait_until(lock, std::chrono::system_clock::now() + 5ms), std::cv_status::timeout);
    });
  }
  const double start = now_ms();
  fibers.run();
  EXPECT_LT(now_ms() - start, 250);
}

}  // namespace
}  // namespace aiofiber::hooks_test
