// SPDX-License-Identifier: Apache-2.0
//
// Waiting for an initialisation that another has begun: what pthread_once and the guards of statics have in
// common.
//
// Neither libc nor libstdc++ note who it is that initialises. A small table does, for those who look at what
// tasks wait for. Threads: wait_while() in a task, the others any.
#pragma once

#include <cerrno>
#include <cstdint>

#include "hooks/locks/lock_queue.h"

namespace aiofiber::hooks {

// The current task, or the thread, begins with what is initialised at `address`; it has ended, or given up. A
// place in the table that is taken is not waited for: then that initialisation has no name.
void note_initialiser(const void* address) noexcept;
void forget_initialiser(const void* address) noexcept;
// Where it is written who initialises, as a record's wait_owner; 0 if it is not known.
std::uint64_t initialiser_at(const void* address) noexcept;

// Parks until running() is false; errno is kept. Who initialises may be a thread whose hooks are not ours:
// looks now and then.
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
