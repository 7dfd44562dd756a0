// SPDX-License-Identifier: Apache-2.0
//
// Waits for an initialisation that another task or thread has begun: shared by pthread_once and the guards of
// statics.
//
// libc and libstdc++ do not note the initialising task. A small table does, to show what tasks wait for.
// Threads: wait_while() in a task, the others any.
#pragma once

#include <cerrno>
#include <cstdint>

#include "hooks/locks/lock_queue.h"

namespace aiofiber::hooks {

// The current task or thread begins the initialisation at `address`; it has ended it or given up. If the
// place in the table is in use, the initialisation is not noted.
void note_initialiser(const void* address) noexcept;
void forget_initialiser(const void* address) noexcept;
// The address of the owner's id, for a record's wait_owner; 0 if not known.
std::uint64_t initialiser_at(const void* address) noexcept;

// Parks until running() is false; errno is kept. The initialising thread may have other hooks or none, so
// running() is also called at intervals.
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
