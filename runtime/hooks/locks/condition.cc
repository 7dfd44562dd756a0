// SPDX-License-Identifier: Apache-2.0
//
// Condition variables: a waiting task is queued before it releases the mutex, so no signal is lost.
//
// A signal wakes one task. It also goes to libc for the threads that wait there: a spurious wake-up is legal,
// a lost one is not. A cancellation does not end the wait, as with a mutex: no return value tells callers,
// and they would test their predicate again at once. Process-shared condition variables are libc's.
#include <pthread.h>

#include <cerrno>

#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"
#include "hooks/glibc/hidden_words.h"
#include "hooks/locks/lock_queue.h"
#include "hooks/locks/mutex.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

bool suspends(const pthread_cond_t* condition) noexcept {
  const runtime::Fiber* fiber = act();
  return fiber != nullptr && !fiber->unwinding && !is_shared(condition);
}

int wait_until(pthread_cond_t* condition, pthread_mutex_t* mutex, Nanoseconds deadline) {
  const int saved_errno = errno;
  LockWait wait(condition, {AIOFIBER_WAIT_CONDITION, 0});
  if (const int error = unlock_mutex(mutex); error != 0) {
    if (!wait.withdraw()) wake_lock_waiters(condition, 1);
    return error;
  }
  wait.sleep(deadline, false);
  const bool timed_out = wait.withdraw();
  const int error = lock_mutex(mutex);
  errno = saved_errno;
  return error != 0 ? error : timed_out && deadline != kForever ? ETIMEDOUT : 0;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  if (!suspends(condition)) return real::pthread_cond_wait(condition, mutex);
  return wait_until(condition, mutex, kForever);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* time) {
  if (!suspends(condition) || !is_valid_time(CLOCK_REALTIME, time))
    return real::pthread_cond_timedwait(condition, mutex, time);
  return wait_until(condition, mutex, deadline_at(clock_of(condition), *time));
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* time) {
  if (!suspends(condition) || !is_valid_time(clock, time))
    return real::pthread_cond_clockwait(condition, mutex, clock, time);
  return wait_until(condition, mutex, deadline_at(clock, *time));
}

int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  if (lock_waiters_exist()) wake_lock_waiters(condition, 1);
  return real::pthread_cond_signal(condition);
}

int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  if (lock_waiters_exist()) wake_lock_waiters(condition, kAllWaiters);
  return real::pthread_cond_broadcast(condition);
}

}  // extern "C"
