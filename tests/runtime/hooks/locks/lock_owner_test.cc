// SPDX-License-Identifier: Apache-2.0
//
// The owner of a lock as debuggers see it, at every moment: taken, handed over, released; by tasks and by
// threads. Not for ThreadSanitizer, which reports the hand-over of a mutex as an unlock by a wrong thread.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

// The owner of what a waiting fiber waits for, which has to be a lock.
runtime::LockOwner owner_for(const runtime::Fiber* waiter) {
  EXPECT_TRUE(runtime::names_lock_owner(*waiter)) << "kind " << waiter->wait_kind;
  return runtime::lock_owner(*waiter);
}

TEST(LockOwner, OfAMutexIsTheTaskThatHasItAtTheMoment) {
  for (const int type :
       {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP}) {
    Fibers fibers;
    pthread_mutex_t mutex;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutex_init(&mutex, &attributes);
    const runtime::Fiber* last = nullptr;
    int looks = 0;
    for (int i = 0; i < 2; ++i) {
      fibers.spawn([&] {
        pthread_mutex_lock(&mutex);
        sleep_ms(1);
        EXPECT_EQ(owner_for(last).task, runtime::current_fiber()->id) << "type " << type;
        EXPECT_EQ(owner_for(last).tid, runtime::current_fiber()->tid);
        ++looks;
        pthread_mutex_unlock(&mutex);
      });
    }
    fibers.spawn([&] {
      last = runtime::current_fiber();
      pthread_mutex_lock(&mutex);
      pthread_mutex_unlock(&mutex);
    });
    fibers.run();
    EXPECT_EQ(looks, 2);
    EXPECT_EQ(mutex.__data.__list.__prev, nullptr) << "nobody has it";
    pthread_mutex_destroy(&mutex);
  }
}

TEST(LockOwner, OfAMutexIsTheThreadThatHasIt) {
  Fibers fibers;
  std::mutex mutex;
  std::atomic<pid_t> tid{0};
  std::atomic<bool> looked{false};
  std::thread thread([&] {
    pthread_setname_np(pthread_self(), "keeper");
    mutex.lock();
    tid = gettid();
    while (!looked) std::this_thread::yield();
    mutex.unlock();
  });
  while (tid == 0) std::this_thread::yield();
  const runtime::Fiber* waiter = nullptr;
  fibers.spawn([&] {
    waiter = runtime::current_fiber();
    const std::lock_guard lock(mutex);
  });
  fibers.spawn([&] {
    while (waiter->state != AIOFIBER_WAITING) sleep_ms(1);
    EXPECT_EQ(owner_for(waiter).task, 0u);
    EXPECT_EQ(owner_for(waiter).tid, static_cast<std::uint32_t>(tid.load()));
    const std::string text = runtime::describe_wait(*waiter, runtime::snapshot_tasks());
    EXPECT_TRUE(text.ends_with(", held by thread " + std::to_string(tid) + " 'keeper'")) << text;
    looked = true;
  });
  fibers.run();
  thread.join();
}

TEST(LockOwner, OfAMutexThatWasHandedOverIsTheOneThatGotIt) {
  Fibers fibers;
  std::mutex mutex;
  std::atomic<bool> stop{false};
  std::atomic<int> rounds{0};
  std::thread thread([&] {
    while (!stop) {
      const std::lock_guard lock(mutex);
      ++rounds;
    }
  });
  while (rounds == 0) std::this_thread::yield();
  for (int i = 0; i < 50; ++i) {
    fibers.spawn([&, i] {
      const std::lock_guard lock(mutex);
      const auto* data = &mutex.native_handle()->__data;
      EXPECT_EQ(reinterpret_cast<std::uint64_t>(data->__list.__prev), runtime::current_fiber()->id);
      EXPECT_EQ(static_cast<std::uint32_t>(data->__owner), runtime::current_fiber()->tid);
      if (i == 49) stop = true;
    });
  }
  fibers.run();
  stop = true;
  thread.join();
}

TEST(LockOwner, OfAReadWriteLockIsTheWriter) {
  Fibers fibers;
  std::shared_mutex lock;
  const runtime::Fiber* reader = nullptr;
  const runtime::Fiber* writer = nullptr;
  fibers.spawn([&] {
    EXPECT_TRUE(lock.try_lock());
    sleep_ms(1);
    EXPECT_EQ(owner_for(reader).task, runtime::current_fiber()->id);
    lock.unlock();
    lock.lock_shared();
    sleep_ms(1);
    EXPECT_FALSE(owner_for(writer).known()) << "readers have it";
    lock.unlock_shared();
  });
  fibers.spawn([&] {
    reader = runtime::current_fiber();
    lock.lock_shared();
    sleep_ms(2);
    lock.unlock_shared();
  });
  fibers.spawn([&] {
    sleep_ms(1);
    writer = runtime::current_fiber();
    const std::lock_guard guard(lock);
  });
  fibers.run();
  EXPECT_EQ(static_cast<pthread_rwlock_t*>(lock.native_handle())->__data.__pad2, 0u) << "nobody writes";
}

TEST(LockOwner, OfAnInitialisationIsWhoRunsIt) {
  Fibers fibers;
  std::once_flag flag;
  const runtime::Fiber* waits_for_once = nullptr;
  const runtime::Fiber* waits_for_static = nullptr;
  fibers.spawn([&] {
    std::call_once(flag, [&] {
      sleep_ms(1);
      EXPECT_EQ(owner_for(waits_for_once).task, runtime::current_fiber()->id);
    });
  });
  fibers.spawn([&] {
    waits_for_once = runtime::current_fiber();
    std::call_once(flag, [] { ADD_FAILURE() << "the second one's"; });
  });
  const auto get = [&]() -> int {
    static const int value = [&] {
      sleep_ms(1);
      EXPECT_EQ(owner_for(waits_for_static).task, runtime::current_fiber()->id);
      return 42;
    }();
    return value;
  };
  fibers.spawn([&] { EXPECT_EQ(get(), 42); });
  fibers.spawn([&] {
    waits_for_static = runtime::current_fiber();
    EXPECT_EQ(get(), 42);
  });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
