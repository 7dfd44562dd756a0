// SPDX-License-Identifier: Apache-2.0
//
// The fields of glibc's pthread_mutex_t that the hooks read and write. <pthread.h> shows them.
//
// The layout is part of glibc's binary interface; the parts in use are asserted here. A test
// (mutex_words_test) checks what the fields mean for each kind of mutex.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/inspect/lock_owner.h"

namespace aiofiber::hooks {

inline constexpr int kTypeMask = 3;
inline constexpr int kNoElision = 512;
inline bool knows_owner(const pthread_mutex_t* mutex) noexcept {
  const int type = mutex->__data.__kind & kTypeMask;
  return AIOFIBER_UNLIKELY(type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK);
}
inline bool is_recursive(const pthread_mutex_t* mutex) noexcept {
  return (mutex->__data.__kind & kTypeMask) == PTHREAD_MUTEX_RECURSIVE;
}
// Plain and adaptive mutexes: private, without priorities, robustness and elision. Their release checks
// nothing, so they can be handed over.
inline bool is_simple(const pthread_mutex_t* mutex) noexcept {
  const int kind = mutex->__data.__kind & ~kNoElision;
  return AIOFIBER_LIKELY(kind == PTHREAD_MUTEX_NORMAL) || kind == PTHREAD_MUTEX_ADAPTIVE_NP;
}

// Robust mutexes, and mutexes with priorities, are in a list of their thread. Other mutexes have these words
// too; the first holds the id of the owning task. No decision depends on the id: a release that bypasses the
// hooks leaves an old one. The owner's thread shows that it is old.
inline bool has_room_for_task(const pthread_mutex_t* mutex) noexcept {
  return AIOFIBER_LIKELY((mutex->__data.__kind & ~(kTypeMask | kNoElision)) == 0);
}
inline void note_task(pthread_mutex_t* mutex, std::uint64_t id) noexcept {
  auto& word = mutex->__data.__list.__prev;
  __atomic_store_n(&word, reinterpret_cast<__pthread_internal_list*>(id), __ATOMIC_RELAXED);
}

// libc writes the thread here, and the hooks write the task after it: AIOFIBER_OWNER_THREAD.
inline constexpr std::size_t kMutexOwnerAt = offsetof(pthread_mutex_t, __data.__owner);
static_assert(offsetof(pthread_mutex_t, __data.__list.__prev) ==
              kMutexOwnerAt + offsetof(runtime::LockOwnerWords, third));
static_assert(sizeof(pthread_mutex_t::__data.__owner) == sizeof(std::uint32_t) &&
              sizeof(pthread_mutex_t::__data.__list.__prev) == sizeof(std::uint64_t));
static_assert((PTHREAD_MUTEX_NORMAL | PTHREAD_MUTEX_RECURSIVE | PTHREAD_MUTEX_ERRORCHECK |
               PTHREAD_MUTEX_ADAPTIVE_NP) == kTypeMask);

inline std::uint32_t owner_thread(const pthread_mutex_t* mutex) noexcept {
  return static_cast<std::uint32_t>(__atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED));
}
inline void set_owner_thread(pthread_mutex_t* mutex, std::uint32_t tid) noexcept {
  __atomic_store_n(&mutex->__data.__owner, static_cast<int>(tid), __ATOMIC_RELAXED);
}
inline bool looks_free(const pthread_mutex_t* mutex) noexcept {
  return __atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED) == 0;
}
// How often the owner has locked it; libc counts only for recursive mutexes.
inline unsigned recursions(const pthread_mutex_t* mutex) noexcept { return mutex->__data.__count; }

}  // namespace aiofiber::hooks
