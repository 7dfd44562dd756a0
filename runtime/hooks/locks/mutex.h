// SPDX-License-Identifier: Apache-2.0
//
// A task's mutex, for the condition variable, which unlocks and locks it around its wait. Unlike a thread in
// libc, these functions serve the queue of waiting tasks, and they note the owning task of a mutex that knows
// its owner. Threads: the loop's, in a task.
#pragma once

#include <pthread.h>

namespace aiofiber::hooks {

// Like pthread_mutex_lock and pthread_mutex_unlock in a task.
int lock_mutex(pthread_mutex_t* mutex);
int unlock_mutex(pthread_mutex_t* mutex);

}  // namespace aiofiber::hooks
