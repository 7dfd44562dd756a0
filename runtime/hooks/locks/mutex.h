// SPDX-License-Identifier: Apache-2.0
//
// A task's mutex, for the condition variable, which releases and takes it around its wait.
// Not what a thread does in libc: the queue of the tasks that want the mutex is served, and a mutex that
// knows its owner is told which task that is. Threads: the loop's, in a task.
#pragma once

#include <pthread.h>

namespace aiofiber::hooks {

// As pthread_mutex_lock and pthread_mutex_unlock of a task.
int lock_mutex(pthread_mutex_t* mutex);
int unlock_mutex(pthread_mutex_t* mutex);

}  // namespace aiofiber::hooks
