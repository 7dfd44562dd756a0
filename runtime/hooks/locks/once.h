// SPDX-License-Identifier: Apache-2.0
//
// Waiting for an initialisation that another task or thread has begun: common to pthread_once and guards of
// statics.
//
// libc and libstdc++ do not store the initialiser. A small table does, for reports of what tasks wait for.
// Threads: wait_while() in a task, the others any.
// tasks wait for. Threads: wait_while() in a task, the others any.
#pragma once

#include <cerrno>
#include <cstdint>

#include "hooks/locks/lock_queue.h"

namespace aiofiber::hooks {

// The current task or thread begins to initialise the object at `address`, or has ended, or given up. If its
// place in the table is taken, the initialiser is not stored.
void note_initialiser(const void* address) noexcept;
void forget_initialiser(const void* address) noexcept;
// Where the initialiser is stored, as a record's wait_owner; 0 if not known.
std::uint64_t initialiser_at(const void* address) noexcept;

// Parks until running() is false; errno is kept. It checks from time to time, because the initialiser may be
// a thread without our hooks.
template <class Running>
void wait_while(const void* address, Running running) {
  const int saved_errno = errno;
  wait_for_lock(address, {AIOFIBER_WAIT_LOCK, initialiser_at(address)}, runtime::kForever, false, true,
                [&] { return running() ? EBUSY : 0; });
  errno = saved_errno;
}

inline void wake_waiters(const void* address) noexcept {
  if (lock_waiters_exist()) wake_lock_waiters(address, kAllWaiters);
}

}  // namespace aiofiber::hooks
