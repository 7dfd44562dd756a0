// SPDX-License-Identifier: Apache-2.0
//
// Read-write locks, semaphores, barriers and spinlocks: the task parks, the thread goes on; between
// tasks, and between tasks and plain threads. Without these hooks most of these tests would hang the thread.
// Not for ThreadSanitizer, which reports the hand-over of a mutex as an unlock by a wrong thread.
//
// Labels: long
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "aiofiber/runtime/inspect/task_dump.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

using namespace std::chrono_literals;

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

TEST(HookedBarrier, IsWhatADumpSaysThatATaskWaitsFor) {
  Fibers fibers;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  const runtime::Fiber* waiter = nullptr;
  fibers.spawn([&] {
    waiter = runtime::current_fiber();
    pthread_barrier_wait(&barrier);
  });
  fibers.spawn([&] {
    EXPECT_EQ(runtime::describe_wait(*waiter, runtime::snapshot_tasks()),
              "a call on the thread pool: pthread_barrier_wait()");
    pthread_barrier_wait(&barrier);
  });
  fibers.run();
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

// A task that tries again and again relies on the others running meanwhile, as threads do.
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

}  // namespace
}  // namespace aiofiber::hooks_test
