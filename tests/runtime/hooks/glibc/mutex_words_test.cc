// SPDX-License-Identifier: Apache-2.0
//
// What libc writes into mutexes and read-write locks of each kind, as the hooks read it. And libc still works
// with what the hooks write there.
#include "hooks/glibc/mutex_words.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "hooks/glibc/rwlock_words.h"

namespace aiofiber::hooks {
namespace {

std::uint32_t own_tid() { return static_cast<std::uint32_t>(::syscall(SYS_gettid)); }

class Mutex {
 public:
  explicit Mutex(int type, bool robust = false, int protocol = PTHREAD_PRIO_NONE, bool shared = false) {
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    EXPECT_EQ(::pthread_mutexattr_settype(&attributes, type), 0);
    EXPECT_EQ(
        ::pthread_mutexattr_setrobust(&attributes, robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED), 0);
    EXPECT_EQ(::pthread_mutexattr_setprotocol(&attributes, protocol), 0);
    EXPECT_EQ(::pthread_mutexattr_setpshared(&attributes,
                                             shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE),
              0);
    EXPECT_EQ(::pthread_mutex_init(&mutex_, &attributes), 0);
    ::pthread_mutexattr_destroy(&attributes);
  }
  ~Mutex() { ::pthread_mutex_destroy(&mutex_); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  pthread_mutex_t* get() { return &mutex_; }

 private:
  pthread_mutex_t mutex_;
};

constexpr int kTypes[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                          PTHREAD_MUTEX_ADAPTIVE_NP};

TEST(MutexWords, SayWhichThreadHasIt) {
  for (const int type : kTypes) {
    Mutex mutex(type);
    EXPECT_TRUE(looks_free(mutex.get()));
    EXPECT_EQ(owner_thread(mutex.get()), 0u);
    ASSERT_EQ(::pthread_mutex_lock(mutex.get()), 0);
    EXPECT_FALSE(looks_free(mutex.get()));
    EXPECT_EQ(owner_thread(mutex.get()), own_tid()) << type;
    ASSERT_EQ(::pthread_mutex_unlock(mutex.get()), 0);
    EXPECT_TRUE(looks_free(mutex.get()));
    EXPECT_EQ(owner_thread(mutex.get()), 0u) << type;
  }
}

TEST(MutexWords, TellTheKinds) {
  for (const int type : kTypes) {
    Mutex mutex(type);
    const bool counts = type == PTHREAD_MUTEX_RECURSIVE, checks = type == PTHREAD_MUTEX_ERRORCHECK;
    EXPECT_EQ(knows_owner(mutex.get()), counts || checks) << type;
    EXPECT_EQ(is_recursive(mutex.get()), counts) << type;
    EXPECT_EQ(is_simple(mutex.get()), !counts && !checks) << type;
    EXPECT_TRUE(has_room_for_task(mutex.get())) << type;
  }
  pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
  EXPECT_TRUE(is_simple(&plain));
}

TEST(MutexWords, OfMutexesThatLibcHasMoreToDoForAreLeftAlone) {
  Mutex robust(PTHREAD_MUTEX_NORMAL, true), inherits(PTHREAD_MUTEX_NORMAL, false, PTHREAD_PRIO_INHERIT),
      protects(PTHREAD_MUTEX_NORMAL, false, PTHREAD_PRIO_PROTECT),
      shared(PTHREAD_MUTEX_NORMAL, false, PTHREAD_PRIO_NONE, true);
  for (Mutex* mutex : {&robust, &inherits, &protects, &shared}) {
    EXPECT_FALSE(is_simple(mutex->get()));
    EXPECT_FALSE(has_room_for_task(mutex->get()));
  }
}

TEST(MutexWords, CountARecursiveOne) {
  Mutex mutex(PTHREAD_MUTEX_RECURSIVE);
  for (unsigned times = 1; times <= 3; ++times) {
    ASSERT_EQ(::pthread_mutex_lock(mutex.get()), 0);
    EXPECT_EQ(recursions(mutex.get()), times);
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(::pthread_mutex_unlock(mutex.get()), 0);
}

// As in a hand-over of a mutex: a reader from outside finds what is written, and libc releases the mutex.
TEST(MutexWords, AreReadAsALockOwnerAndDoNotDisturbLibc) {
  for (const int type : kTypes) {
    Mutex mutex(type);
    ASSERT_EQ(::pthread_mutex_lock(mutex.get()), 0);
    note_task(mutex.get(), 0x1234567890);
    set_owner_thread(mutex.get(), own_tid());
    const std::uint64_t at =
        (reinterpret_cast<std::uint64_t>(mutex.get()) + kMutexOwnerAt) | AIOFIBER_OWNER_THREAD;
    runtime::LockOwnerWords words;
    ASSERT_EQ(runtime::lock_owner_bytes(at), sizeof words);
    std::memcpy(&words, reinterpret_cast<const void*>(runtime::lock_owner_address(at)), sizeof words);
    const runtime::LockOwner owner = runtime::decode_lock_owner(at, words);
    EXPECT_EQ(owner.tid, own_tid());
    EXPECT_EQ(owner.task, 0x1234567890u);
    EXPECT_EQ(::pthread_mutex_unlock(mutex.get()), 0);
    EXPECT_EQ(::pthread_mutex_trylock(mutex.get()), 0);
    EXPECT_EQ(::pthread_mutex_unlock(mutex.get()), 0);
  }
}

TEST(RwlockWords, SayWhichThreadWrites) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  EXPECT_FALSE(is_shared(&lock));
  ASSERT_EQ(::pthread_rwlock_rdlock(&lock), 0);
  EXPECT_EQ(writing_thread(&lock), 0u);
  ASSERT_EQ(::pthread_rwlock_unlock(&lock), 0);
  ASSERT_EQ(::pthread_rwlock_wrlock(&lock), 0);
  EXPECT_EQ(writing_thread(&lock), own_tid());
  note_writer(&lock, 77);
  EXPECT_EQ(noted_writer(&lock), 77u);
  note_writer(&lock, 0);
  ASSERT_EQ(::pthread_rwlock_unlock(&lock), 0);
  EXPECT_EQ(writing_thread(&lock), 0u);
}

TEST(RwlockWords, SayWhetherProcessesShareIt) {
  pthread_rwlockattr_t attributes;
  ::pthread_rwlockattr_init(&attributes);
  ASSERT_EQ(::pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
  pthread_rwlock_t lock;
  ASSERT_EQ(::pthread_rwlock_init(&lock, &attributes), 0);
  EXPECT_TRUE(is_shared(&lock));
  ::pthread_rwlock_destroy(&lock);
  ::pthread_rwlockattr_destroy(&attributes);
}

}  // namespace
}  // namespace aiofiber::hooks
