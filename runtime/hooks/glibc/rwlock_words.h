// SPDX-License-Identifier: Apache-2.0
//
// The fields of glibc's pthread_rwlock_t that the hooks read and write. <pthread.h> shows them.
//
// libc writes the writing thread into the lock. The hooks write the task into a word that libc does not use,
// to show what tasks wait for. They skip process-shared locks, because processes use the same task numbers. A
// test (mutex_words_test) checks what the fields mean.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/inspect/lock_owner.h"

namespace aiofiber::hooks {

// libc writes the thread here, and the hooks write the task after it: AIOFIBER_OWNER_THREAD.
inline constexpr std::size_t kRwlockWriterAt = offsetof(pthread_rwlock_t, __data.__cur_writer);
static_assert(offsetof(pthread_rwlock_t, __data.__pad2) ==
              kRwlockWriterAt + offsetof(runtime::LockOwnerWords, third));
static_assert(sizeof(pthread_rwlock_t::__data.__cur_writer) == sizeof(std::uint32_t) &&
              sizeof(pthread_rwlock_t::__data.__pad2) == sizeof(std::uint64_t));

inline bool is_shared(const pthread_rwlock_t* lock) noexcept { return lock->__data.__shared != 0; }
inline std::uint32_t writing_thread(const pthread_rwlock_t* lock) noexcept {
  return static_cast<std::uint32_t>(__atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED));
}
inline std::uint64_t noted_writer(const pthread_rwlock_t* lock) noexcept {
  return __atomic_load_n(&lock->__data.__pad2, __ATOMIC_RELAXED);
}
inline void note_writer(pthread_rwlock_t* lock, std::uint64_t id) noexcept {
  __atomic_store_n(&lock->__data.__pad2, static_cast<unsigned long>(id), __ATOMIC_RELAXED);
}

}  // namespace aiofiber::hooks
