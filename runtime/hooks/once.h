// SPDX-License-Identifier: Apache-2.0
//
// Waiting for an initialisation that another has begun: what pthread_once and the guards of statics have in
// common.
//
// Threads: wait_while() in a task, wake_waiters() any.
#pragma once

#include <cerrno>

#include "hooks/lock_queue.h"

namespace aiofiber::hooks {

// Parks until running() is false; errno is kept. Who initialises may be a thread whose hooks are not ours:
// looks now and then.
template <class Running>
void wait_while(const void* address, Running running) {
  const int saved_errno = errno;
  wait_for_lock(address, runtime::kForever, false, true, [&] { return running() ? EBUSY : 0; });
  errno = saved_errno;
}

inline void wake_waiters(const void* address) noexcept {
  if (lock_waiters_exist()) wake_lock_waiters(address, kAllWaiters);
}

}  // namespace aiofiber::hooks
