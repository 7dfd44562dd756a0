// SPDX-License-Identifier: Apache-2.0
//
// C11's threads in tasks. Each waiting call suspends the task and returns C11's numbers. An object works
// together with pthread's names and with plain threads. Not for ThreadSanitizer, which reports the hand-over
// of a mutex as an unlock by a wrong thread.
#include <pthread.h>
#include <threads.h>
#include <time.h>

#include <atomic>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

timespec in_ms(int milliseconds) {
  timespec time;
  ::clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += milliseconds * 1'000'000L;
  time.tv_sec += time.tv_nsec / 1'000'000'000;
  time.tv_nsec %= 1'000'000'000;
  return time;
}

struct Mutex {
  explicit Mutex(int type = mtx_plain) { EXPECT_EQ(::mtx_init(&mutex, type), thrd_success); }
  ~Mutex() { ::mtx_destroy(&mutex); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  mtx_t mutex;
};
struct Condition {
  Condition() { EXPECT_EQ(::cnd_init(&condition), thrd_success); }
  ~Condition() { ::cnd_destroy(&condition); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  cnd_t condition;
};

TEST(C11Mutex, HeldOverASuspensionKeepsOtherTasksOut) {
  Fibers fibers;
  Mutex lock;
  int inside = 0, entered = 0;
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      EXPECT_EQ(::mtx_lock(&lock.mutex), thrd_success);
      EXPECT_EQ(++inside, 1);
      sleep_ms(1);
      --inside;
      ++entered;
      EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
    });
  }
  fibers.run();
  EXPECT_EQ(entered, 10);
}

TEST(C11Mutex, SaysBusyAndTimedOut) {
  Fibers fibers;
  Mutex lock(mtx_timed);
  fibers.spawn([&] {
    EXPECT_EQ(::mtx_trylock(&lock.mutex), thrd_success);
    sleep_ms(20);
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
  });
  fibers.spawn([&] {
    EXPECT_EQ(::mtx_trylock(&lock.mutex), thrd_busy);
    timespec limit = in_ms(3);
    EXPECT_EQ(::mtx_timedlock(&lock.mutex, &limit), thrd_timedout);
    limit.tv_nsec = -1;
    EXPECT_EQ(::mtx_timedlock(&lock.mutex, &limit), thrd_error);
    limit = in_ms(5000);
    EXPECT_EQ(::mtx_timedlock(&lock.mutex, &limit), thrd_success);
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
  });
  fibers.run();
}

TEST(C11Mutex, ARecursiveOneKnowsItsTask) {
  Fibers fibers;
  Mutex lock(mtx_recursive);
  bool released = false;
  fibers.spawn([&] {
    EXPECT_EQ(::mtx_lock(&lock.mutex), thrd_success);
    EXPECT_EQ(::mtx_lock(&lock.mutex), thrd_success);
    sleep_ms(2);
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
    sleep_ms(2);
    released = true;
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
  });
  fibers.spawn([&] {
    EXPECT_EQ(::mtx_trylock(&lock.mutex), thrd_busy) << "another task of the same thread has it";
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_error);
    EXPECT_EQ(::mtx_lock(&lock.mutex), thrd_success);
    EXPECT_TRUE(released);
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
  });
  fibers.run();
}

// libc's unlock would not wake the task.
TEST(C11Mutex, OfAPlainThreadWakesTheTaskThatWaits) {
  Fibers fibers;
  Mutex lock;
  std::atomic<bool> held = false, wanted = false;
  struct Shared {
    mtx_t& mutex;
    std::atomic<bool>& held;
    std::atomic<bool>& wanted;
  } shared{lock.mutex, held, wanted};
  thrd_t thread;
  const auto hold = [](void* argument) -> int {
    auto& with = *static_cast<Shared*>(argument);
    ::mtx_lock(&with.mutex);
    with.held = true;
    while (!with.wanted) ::thrd_yield();
    ::mtx_unlock(&with.mutex);
    return 7;
  };
  ASSERT_EQ(::thrd_create(&thread, hold, &shared), thrd_success);
  int ended_with = 0;
  fibers.spawn([&] {
    while (!held) ::thrd_yield();
    wanted = true;
    EXPECT_EQ(::mtx_lock(&lock.mutex), thrd_success);
    EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
    EXPECT_EQ(::thrd_join(thread, &ended_with), thrd_success);
  });
  fibers.run();
  EXPECT_EQ(ended_with, 7);
}

TEST(C11Condition, TimesOutWhileTheOthersRun) {
  Fibers fibers;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    Mutex lock;
    Condition never;
    const timespec limit = in_ms(30);
    ::mtx_lock(&lock.mutex);
    EXPECT_EQ(::cnd_timedwait(&never.condition, &lock.mutex, &limit), thrd_timedout);
    EXPECT_EQ(::mtx_trylock(&lock.mutex), thrd_busy) << "it is the caller's again";
    ::mtx_unlock(&lock.mutex);
    ticker.stop();
  });
  fibers.run();
  EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
}

TEST(C11Condition, WakesOneOrAll) {
  Fibers fibers;
  Mutex lock;
  Condition condition;
  int waiting = 0, woken = 0, permits = 0;
  for (int i = 0; i < 5; ++i) {
    fibers.spawn([&] {
      ::mtx_lock(&lock.mutex);
      ++waiting;
      while (permits == 0) EXPECT_EQ(::cnd_wait(&condition.condition, &lock.mutex), thrd_success);
      --permits;
      ++woken;
      ::mtx_unlock(&lock.mutex);
    });
  }
  fibers.spawn([&] {
    while (waiting < 5) ::thrd_yield();
    ::mtx_lock(&lock.mutex);
    permits = 1;
    EXPECT_EQ(::cnd_signal(&condition.condition), thrd_success);
    ::mtx_unlock(&lock.mutex);
    while (woken < 1) ::thrd_yield();
    ::mtx_lock(&lock.mutex);
    permits = 4;
    EXPECT_EQ(::cnd_broadcast(&condition.condition), thrd_success);
    ::mtx_unlock(&lock.mutex);
  });
  fibers.run();
  EXPECT_EQ(woken, 5);
}

TEST(C11Condition, IsSignalledByAPlainThread) {
  Fibers fibers;
  struct Shared {
    Mutex lock;
    Condition condition;
    bool done = false;
  } shared;
  thrd_t thread;
  fibers.spawn([&] {
    ::mtx_lock(&shared.lock.mutex);
    ASSERT_EQ(::thrd_create(
                  &thread,
                  [](void* argument) -> int {
                    auto& with = *static_cast<Shared*>(argument);
                    ::mtx_lock(&with.lock.mutex);
                    with.done = true;
                    ::cnd_signal(&with.condition.condition);
                    ::mtx_unlock(&with.lock.mutex);
                    return -1;
                  },
                  &shared),
              thrd_success);
    while (!shared.done) ::cnd_wait(&shared.condition.condition, &shared.lock.mutex);
    ::mtx_unlock(&shared.lock.mutex);
    EXPECT_EQ(::thrd_join(thread, nullptr), thrd_success);
  });
  fibers.run();
  EXPECT_TRUE(shared.done);
}

once_flag flag = ONCE_FLAG_INIT;
int initialisations = 0;

TEST(C11Once, WaitsForATaskThatSuspendsInTheMiddle) {
  Fibers fibers;
  int seen = 0;
  for (int i = 0; i < 3; ++i) {
    fibers.spawn([&] {
      ::call_once(&flag, [] {
        sleep_ms(3);
        ++initialisations;
      });
      seen += initialisations;
    });
  }
  fibers.run();
  EXPECT_EQ(initialisations, 1);
  EXPECT_EQ(seen, 3) << "none went on before it was done";
}

TEST(C11Join, WaitsForAThreadWhileTheOthersRun) {
  Fibers fibers;
  Ticker ticker(fibers);
  thrd_t thread;
  std::atomic<bool> stop = false;
  ASSERT_EQ(::thrd_create(
                &thread,
                [](void* argument) -> int {
                  const timespec pause{0, 1'000'000};
                  while (!*static_cast<std::atomic<bool>*>(argument)) ::thrd_sleep(&pause, nullptr);
                  return -3;
                },
                &stop),
            thrd_success);
  int result = 0;
  fibers.spawn([&] {
    EXPECT_EQ(::thrd_join(thread, &result), thrd_success);
    ticker.stop();
  });
  fibers.spawn([&] {
    ticker.wait_for_turns();
    stop = true;
  });
  fibers.run();
  EXPECT_EQ(result, -3);
}

TEST(C11Keys, KeepAValue) {
  tss_t key;
  ASSERT_EQ(::tss_create(&key, nullptr), thrd_success);
  Fibers fibers;
  int value = 0;
  fibers.spawn([&] {
    EXPECT_EQ(::tss_get(key), nullptr);
    EXPECT_EQ(::tss_set(key, &value), thrd_success);
    runtime::yield_now();
    EXPECT_EQ(::tss_get(key), &value);
    EXPECT_EQ(::pthread_getspecific(key), &value) << "the same keys";
  });
  fibers.run();
  ::tss_delete(key);
}

// What the hooks are for elsewhere is libc's.
TEST(C11Mutex, OutsideATaskGivesLibcsNumbers) {
  Mutex lock(mtx_timed);
  EXPECT_EQ(::mtx_lock(&lock.mutex), thrd_success);
  EXPECT_EQ(::mtx_trylock(&lock.mutex), thrd_busy);
  const timespec past{1, 0};
  EXPECT_EQ(::mtx_timedlock(&lock.mutex, &past), thrd_timedout);
  Condition condition;
  EXPECT_EQ(::cnd_timedwait(&condition.condition, &lock.mutex, &past), thrd_timedout);
  EXPECT_EQ(::mtx_unlock(&lock.mutex), thrd_success);
}

}  // namespace
}  // namespace aiofiber::hooks_test
