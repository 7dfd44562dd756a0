// SPDX-License-Identifier: Apache-2.0
//
// Tasks that hold and wait for locks of the C and C++ libraries: the task parks, the thread goes on; between
// tasks, and between tasks and plain threads. Without these hooks most of these tests would hang the thread.
// Not for ThreadSanitizer, which reports the hand-over of a mutex as an unlock by a wrong thread.
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <utility>

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

// Who waits in the parent is not in the child, so nothing may be given to it there.
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

// ---- read-write locks, semaphores, barriers, spinlocks

TEST(HookedRwlock, LetsReadersTogetherAndWritersAlone) {
  Fibers fibers;
  std::shared_mutex mutex;
  int readers = 0, writers = 0, most_readers = 0;
  for (int i = 0; i < 30; ++i) {
    fibers.spawn([&, i] {
      if (i % 5 == 0) {
        const std::unique_lock lock(mutex);
        EXPECT_EQ(++writers + readers, 1);
        sleep_ms(1);
        --writers;
      } else {
        const std::shared_lock lock(mutex);
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

TEST(HookedRwlock, TimedLockGivesUpInTime) {
  Fibers fibers;
  std::shared_timed_mutex mutex;
  fibers.spawn([&] {
    const std::unique_lock lock(mutex);
    sleep_ms(30);
  });
  fibers.spawn([&] {
    EXPECT_FALSE(mutex.try_lock_shared_for(5ms));
    EXPECT_FALSE(mutex.try_lock_for(5ms));
    EXPECT_TRUE(mutex.try_lock_for(1s));
    mutex.unlock();
  });
  fibers.run();
}

TEST(HookedRwlock, TellsAWriterThatItWouldWaitForItself) {
  Fibers fibers;
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  fibers.spawn([&] {
    EXPECT_EQ(pthread_rwlock_wrlock(&lock), 0);
    EXPECT_EQ(pthread_rwlock_wrlock(&lock), EDEADLK);
    EXPECT_EQ(pthread_rwlock_rdlock(&lock), EDEADLK);
    EXPECT_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
    sleep_ms(5);
    EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
  });
  fibers.spawn([&] {
    EXPECT_EQ(pthread_rwlock_rdlock(&lock), 0);  // another task's lock is waited for
    EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
  });
  fibers.run();
}

TEST(HookedSemaphore, LimitsTasksAndIsPostedByThreads) {
  Fibers fibers;
  sem_t limit, from_thread;
  sem_init(&limit, 0, 3);
  sem_init(&from_thread, 0, 0);
  int inside = 0, most = 0;
  for (int i = 0; i < 12; ++i) {
    fibers.spawn([&] {
      EXPECT_EQ(sem_wait(&limit), 0);
      most = std::max(most, ++inside);
      sleep_ms(1);
      --inside;
      sem_post(&limit);
    });
  }
  fibers.spawn([&] { EXPECT_EQ(sem_wait(&from_thread), 0); });
  std::thread thread([&] {
    std::this_thread::sleep_for(3ms);
    sem_post(&from_thread);
  });
  fibers.run();
  thread.join();
  EXPECT_EQ(most, 3);
  sem_destroy(&limit);
  sem_destroy(&from_thread);
}

TEST(HookedSemaphore, TimesOutAndIsCancelled) {
  Fibers fibers;
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  runtime::Fiber& waiter = fibers.spawn([&] {
    timespec time;
    ::clock_gettime(CLOCK_REALTIME, &time);
    EXPECT_FAILS_WITH(ETIMEDOUT, outcome_of([&] { return sem_timedwait(&semaphore, &time); }));
    EXPECT_FAILS_WITH(ECANCELED, outcome_of([&] { return sem_wait(&semaphore); }));
  });
  fibers.spawn([&] {
    sleep_ms(5);
    EXPECT_TRUE(Fibers::interrupt(waiter));
  });
  fibers.run();
  sem_destroy(&semaphore);
}

TEST(HookedSemaphore, SharedBetweenProcessesIsLookedAt) {
  Fibers fibers;
  sem_t* semaphore = static_cast<sem_t*>(
      ::mmap(nullptr, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  sem_init(semaphore, 1, 0);
  pid_t child = 0;
  fibers.spawn([&] {
    child = ::fork();
    if (child == 0) {
      ::usleep(5000);
      sem_post(semaphore);
      ::_exit(0);
    }
    EXPECT_EQ(sem_wait(semaphore), 0);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  });
  fibers.run();
  ::munmap(semaphore, sizeof(sem_t));
}

TEST(HookedBarrier, CollectsTasksAndAThread) {
  Fibers fibers;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 4);
  std::atomic<int> serial{0};
  const auto arrive = [&] {
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
  };
  for (int i = 0; i < 3; ++i) fibers.spawn(arrive);
  std::thread thread(arrive);
  fibers.run();
  thread.join();
  EXPECT_EQ(serial, 1);
  pthread_barrier_destroy(&barrier);
}

TEST(HookedBarrier, CollectsMoreTasksThanThePoolForWaitsHasThreads) {
  constexpr int kParties = 300;
  Fibers fibers;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, kParties);
  int serial = 0, passed = 0;
  for (int i = 0; i < kParties; ++i) {
    fibers.spawn([&] {
      if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
      ++passed;
    });
  }
  fibers.run();
  EXPECT_EQ(passed, kParties);
  EXPECT_EQ(serial, 1);
  pthread_barrier_destroy(&barrier);
}

// Who waits by trying again and again relies on the others running meanwhile, as threads do.
TEST(HookedTries, ThatAreRepeatedLetTheOthersRun) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_spinlock_t spinlock;
  pthread_spin_init(&spinlock, PTHREAD_PROCESS_PRIVATE);
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  const timespec past{0, 0};
  struct Case {
    const char* name;
    std::function<void()> take;
    std::function<bool()> attempt;
    std::function<void()> release;
  };
  const Case cases[] = {
      {"pthread_mutex_trylock", [&] { pthread_mutex_lock(&mutex); },
       [&] { return pthread_mutex_trylock(&mutex) == 0; }, [&] { pthread_mutex_unlock(&mutex); }},
      {"pthread_mutex_timedlock, past", [&] { pthread_mutex_lock(&mutex); },
       [&] { return pthread_mutex_timedlock(&mutex, &past) == 0; }, [&] { pthread_mutex_unlock(&mutex); }},
      {"pthread_rwlock_tryrdlock", [&] { pthread_rwlock_wrlock(&rwlock); },
       [&] { return pthread_rwlock_tryrdlock(&rwlock) == 0; }, [&] { pthread_rwlock_unlock(&rwlock); }},
      {"pthread_rwlock_trywrlock", [&] { pthread_rwlock_wrlock(&rwlock); },
       [&] { return pthread_rwlock_trywrlock(&rwlock) == 0; }, [&] { pthread_rwlock_unlock(&rwlock); }},
      {"pthread_rwlock_timedwrlock, past", [&] { pthread_rwlock_rdlock(&rwlock); },
       [&] { return pthread_rwlock_timedwrlock(&rwlock, &past) == 0; },
       [&] { pthread_rwlock_unlock(&rwlock); }},
      {"pthread_spin_trylock", [&] { pthread_spin_lock(&spinlock); },
       [&] { return pthread_spin_trylock(&spinlock) == 0; }, [&] { pthread_spin_unlock(&spinlock); }},
      {"sem_trywait", [] {}, [&] { return sem_trywait(&semaphore) == 0; }, [&] { sem_post(&semaphore); }},
      {"sem_timedwait, past", [] {}, [&] { return sem_timedwait(&semaphore, &past) == 0; },
       [&] { sem_post(&semaphore); }},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.name);
    Fibers fibers;
    bool released = false, got_it = false;
    fibers.spawn([&] {
      test.take();
      runtime::yield_now();
      released = true;
      test.release();
    });
    fibers.spawn([&] {
      errno = ERANGE;
      for (int tries = 0; tries < 10'000 && !got_it; ++tries) got_it = test.attempt();
      EXPECT_TRUE(released);
      if (got_it) test.release();
    });
    fibers.run();
    EXPECT_TRUE(got_it);
    while (sem_trywait(&semaphore) == 0) continue;  // for the next
  }
  sem_destroy(&semaphore);
  pthread_spin_destroy(&spinlock);
}

TEST(HookedTries, GiveWhatLibcGives) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  pthread_spinlock_t spinlock;
  pthread_spin_init(&spinlock, PTHREAD_PROCESS_PRIVATE);
  Fibers fibers;
  fibers.spawn([&] {
    errno = ERANGE;
    EXPECT_EQ(sem_trywait(&semaphore), 0);
    EXPECT_EQ(errno, ERANGE);
    for (int i = 0; i < 200; ++i)
      EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return sem_trywait(&semaphore); }));
    EXPECT_EQ(pthread_spin_trylock(&spinlock), 0);
    errno = ERANGE;
    for (int i = 0; i < 200; ++i) EXPECT_EQ(pthread_spin_trylock(&spinlock), EBUSY);
    EXPECT_EQ(errno, ERANGE);
    pthread_spin_unlock(&spinlock);
  });
  fibers.run();
  pthread_spin_destroy(&spinlock);
  sem_destroy(&semaphore);
}

// The thread that is to end waits for a task.
TEST(HookedTries, OfAJoinLetTheOthersRun) {
  sem_t go;
  sem_init(&go, 0, 0);
  pthread_t thread;
  const auto wait = [](void* semaphore) -> void* {
    sem_wait(static_cast<sem_t*>(semaphore));
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, nullptr, wait, &go), 0);
  Fibers fibers;
  bool posted = false;
  fibers.spawn([&] {
    for (int tries = 0; tries < 1000 && !posted; ++tries)
      EXPECT_EQ(pthread_tryjoin_np(thread, nullptr), EBUSY);
    EXPECT_TRUE(posted);
  });
  fibers.spawn([&] { posted = true; });
  fibers.run();
  sem_post(&go);
  EXPECT_EQ(pthread_join(thread, nullptr), 0);
  sem_destroy(&go);
}

TEST(HookedSpinlock, LetsTheTaskThatHoldsItRun) {
  Fibers fibers;
  pthread_spinlock_t lock;
  pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
  int entered = 0;
  for (int i = 0; i < 3; ++i) {
    fibers.spawn([&] {
      EXPECT_EQ(pthread_spin_lock(&lock), 0);
      ++entered;
      runtime::yield_now();
      pthread_spin_unlock(&lock);
    });
  }
  fibers.run();
  EXPECT_EQ(entered, 3);
  pthread_spin_destroy(&lock);
}

// ---- once

TEST(HookedOnce, ParksWhoComesWhileItRuns) {
  Fibers fibers;
  std::once_flag first, second;
  int calls = 0, passed = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      std::call_once(first, [&] {
        ++calls;
        std::call_once(second, [&] { sleep_ms(2); });
        sleep_ms(3);
      });
      EXPECT_EQ(calls, 1);
      ++passed;
    });
    fibers.spawn([&] { std::call_once(second, [&] { ADD_FAILURE() << "called a second time"; }); });
  }
  fibers.run();
  EXPECT_EQ(passed, 5);
}

TEST(HookedOnce, IsTriedAgainByWhoWaitedWhenItThrows) {
  Fibers fibers;
  std::once_flag flag;
  std::string log;
  fibers.spawn([&] {
    EXPECT_THROW(std::call_once(flag,
                                [&] {
                                  log += "a";
                                  sleep_ms(3);
                                  throw std::runtime_error("not yet");
                                }),
                 std::runtime_error);
  });
  fibers.spawn([&] { std::call_once(flag, [&] { log += "b"; }); });
  fibers.run();
  EXPECT_EQ(log, "ab");
}

int slow_value(int& calls) {
  ++calls;
  sleep_ms(3);
  return 42;
}

TEST(HookedStaticLocal, IsInitialisedOnceThoughItSuspends) {
  Fibers fibers;
  int calls = 0, sum = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      static const int value = slow_value(calls);
      sum += value;
    });
  }
  fibers.run();
  static bool first_time = true;  // under --gtest_repeat it is initialised already
  EXPECT_EQ(calls, std::exchange(first_time, false) ? 1 : 0);
  EXPECT_EQ(sum, 210);
}

// ---- threads

TEST(HookedJoin, OfAThreadSuspendsTheTaskOnly) {
  Fibers fibers;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    std::thread thread([] { std::this_thread::sleep_for(20ms); });
    thread.join();
    ticker.stop();
  });
  fibers.run();
  EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
}

// ---- signal handlers

bool handler_saw_hooks_off = false;

TEST(SignalHandler, IsNotSuspended) {
  Fibers fibers;
  struct sigaction action {};
  action.sa_handler = [](int) {
    handler_saw_hooks_off = runtime::current_fiber() == nullptr || runtime::current_fiber()->hooks_off > 0;
    ::usleep(1000);  // would let other tasks run
  };
  struct sigaction old {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &old), 0);
  struct sigaction current {};
  ASSERT_EQ(::sigaction(SIGUSR1, nullptr, &current), 0);
  EXPECT_EQ(current.sa_handler, action.sa_handler);  // ours is not seen
  bool other_ran = false;
  fibers.spawn([&] {
    ::raise(SIGUSR1);
    EXPECT_TRUE(handler_saw_hooks_off);
    EXPECT_FALSE(other_ran);
    EXPECT_EQ(runtime::current_fiber()->hooks_off, 0u);
  });
  fibers.spawn([&] { other_ran = true; });
  fibers.run();
  EXPECT_EQ(::signal(SIGUSR1, SIG_DFL), action.sa_handler);
}

sem_t posted_by_handler;

TEST(SignalHandler, CanPostASemaphoreThatATaskWaitsFor) {
  Fibers fibers;
  sem_init(&posted_by_handler, 0, 0);
  ::signal(SIGUSR1, [](int) { sem_post(&posted_by_handler); });
  fibers.spawn([] { EXPECT_EQ(sem_wait(&posted_by_handler), 0); });
  fibers.spawn([] {
    sleep_ms(2);
    ::raise(SIGUSR1);
  });
  fibers.run();
  ::signal(SIGUSR1, SIG_DFL);
  sem_destroy(&posted_by_handler);
}

}  // namespace
}  // namespace aiofiber::hooks_test
