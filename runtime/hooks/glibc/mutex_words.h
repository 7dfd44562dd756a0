// SPDX-License-Identifier: Apache-2.0
//
// What the hooks read and write inside glibc's pthread_mutex_t, whose fields <pthread.h> shows.
//
// The layout is part of glibc's binary interface; what is relied upon is asserted here. What the fields mean
// is looked at by a test (mutex_words_test), kind by kind.
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
// Plain and adaptive ones, private, without priorities, robustness and elision: a release checks nothing, so
// they can be handed over.
inline bool is_simple(const pthread_mutex_t* mutex) noexcept {
  const int kind = mutex->__data.__kind & ~kNoElision;
  return AIOFIBER_LIKELY(kind == PTHREAD_MUTEX_NORMAL) || kind == PTHREAD_MUTEX_ADAPTIVE_NP;
}

// Robust mutexes, and those with priorities, are in a list of their thread. The others have these words too:
// the first is the id of the task that has it. Nothing is decided by it; what a release past the hooks leaves
// there is told by its thread.
inline bool has_room_for_task(const pthread_mutex_t* mutex) noexcept {
  return AIOFIBER_LIKELY((mutex->__data.__kind & ~(kTypeMask | kNoElision)) == 0);
}
inline void note_task(pthread_mutex_t* mutex, std::uint64_t id) noexcept {
  auto& word = mutex->__data.__list.__prev;
  __atomic_store_n(&word, reinterpret_cast<__pthread_internal_list*>(id), __ATOMIC_RELAXED);
}

// Where libc writes the thread, and behind it the hooks the task: AIOFIBER_OWNER_THREAD.
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
// How often its owner has taken it; libc counts only recursive ones.
inline unsigned recursions(const pthread_mutex_t* mutex) noexcept { return mutex->__data.__count; }

}  // namespace aiofiber::hooks
