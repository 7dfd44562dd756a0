// SPDX-License-Identifier: Apache-2.0
//
// Read-write locks and semaphores: tried first, then waited for in the queue of their address.
//
// libc decides which waiter may continue, so a release of a read-write lock wakes all of them to try again. A
// semaphore's post wakes one. A wait for a read-write lock cannot be cancelled; a wait for a semaphore can
// (ECANCELED), and the task's own alarm ends it (EINTR).
#include <pthread.h>
#include <semaphore.h>

#include <cerrno>

#include "aiofiber/runtime/inspect/held_locks.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"
#include "hooks/glibc/hidden_words.h"
#include "hooks/glibc/rwlock_words.h"
#include "hooks/locks/lock_queue.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

// Whether the task owns the write lock. A second lock is EDEADLK, as libc tells a thread. (trylock cannot
// know: EBUSY.)
bool is_written_by(const pthread_rwlock_t* lock, const runtime::Fiber& fiber) noexcept {
  return !is_shared(lock) && noted_writer(lock) == fiber.id && writing_thread(lock) == fiber.tid;
}

// Called by a task.
int try_write(pthread_rwlock_t* lock) noexcept {
  const int error = real::pthread_rwlock_trywrlock(lock);
  if (error != 0) return error;
  if (!is_shared(lock)) note_writer(lock, runtime::current_fiber()->id);
  if (runtime::held_locks::noting()) runtime::held_locks::note_taken(lock, "read-write lock for writing");
  return 0;
}
int try_read(pthread_rwlock_t* lock) noexcept {
  const int error = real::pthread_rwlock_tryrdlock(lock);
  if (error == 0 && runtime::held_locks::noting())
    runtime::held_locks::note_taken(lock, "read-write lock for reading");
  return error;
}
// If a lock has a writer, only the writer can release it.
void note_release(pthread_rwlock_t* lock) noexcept {
  if (runtime::held_locks::noting()) runtime::held_locks::note_released(lock);
  if (noted_writer(lock) != 0 && writing_thread(lock) != 0) note_writer(lock, 0);
}

template <class Attempt>
int obtain_rwlock(pthread_rwlock_t* lock, Nanoseconds deadline, Attempt attempt) {
  if (is_written_by(lock, *runtime::current_fiber())) return EDEADLK;
  const bool shared = is_shared(lock);
  const std::uint64_t writer_at = reinterpret_cast<std::uint64_t>(lock) + kRwlockWriterAt;
  return wait_for_lock(lock, {AIOFIBER_WAIT_LOCK, shared ? 0 : writer_at | AIOFIBER_OWNER_THREAD}, deadline,
                       false, shared, attempt);
}

int try_semaphore(sem_t* semaphore) noexcept {
  if (real::sem_trywait(semaphore) == 0) return 0;
  return errno == EAGAIN ? EBUSY : errno;
}

int wait_for_semaphore(sem_t* semaphore, Nanoseconds deadline) {
  const AlarmEndsWait ends_wait;
  return wait_for_lock(semaphore, {AIOFIBER_WAIT_SEMAPHORE, 0}, deadline, true, is_shared(semaphore),
                       [=] { return try_semaphore(semaphore); });
}

// Returns 0, or -1 with errno. While the loop closes, a call that would have to wait fails with ECANCELED.
// An alarm's handler may jump away.
int obtain_semaphore(sem_t* semaphore, Nanoseconds deadline) {
  const int saved_errno = errno;
  int error = EINTR;
  while (error == EINTR) {
    if (!run_alarm_handler(AfterAlarm::kMayGoOn)) return -1;
    error = wait_for_semaphore(semaphore, deadline);
  }
  errno = error == 0 ? saved_errno : error == kMustBlock ? ECANCELED : error;
  return error == 0 ? 0 : -1;
}

int timed_semaphore(sem_t* semaphore, clockid_t clock, const timespec* time) {
  const int saved_errno = errno;
  if (real::sem_trywait(semaphore) == 0) return 0;
  errno = saved_errno;
  return obtain_semaphore(semaphore, deadline_at(clock, *time));
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

// ---- read-write locks

int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  if (act() == nullptr) return real::pthread_rwlock_rdlock(lock);
  int error = try_read(lock);
  if (error == EBUSY) error = obtain_rwlock(lock, kForever, [=] { return try_read(lock); });
  return error == kMustBlock ? real::pthread_rwlock_rdlock(lock) : error;
}

int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  if (act() == nullptr) return real::pthread_rwlock_wrlock(lock);
  int error = try_write(lock);
  if (error == EBUSY) error = obtain_rwlock(lock, kForever, [=] { return try_write(lock); });
  return error == kMustBlock ? real::pthread_rwlock_wrlock(lock) : error;
}

int pthread_rwlock_tryrdlock(pthread_rwlock_t* lock) noexcept {
  if (act() == nullptr) return real::pthread_rwlock_tryrdlock(lock);
  const int error = try_read(lock);
  if (error == EBUSY) take_part();  // a task that retries in a loop lets the owner run
  return error;
}

int pthread_rwlock_trywrlock(pthread_rwlock_t* lock) noexcept {
  if (act() == nullptr) return real::pthread_rwlock_trywrlock(lock);
  const int error = try_write(lock);
  if (error == EBUSY) take_part();
  return error;
}

int pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* time) noexcept {
  if (act() == nullptr || !is_valid_time(clock, time))
    return real::pthread_rwlock_clockrdlock(lock, clock, time);
  const int error = obtain_rwlock(lock, deadline_at(clock, *time), [=] { return try_read(lock); });
  return error == kMustBlock ? real::pthread_rwlock_clockrdlock(lock, clock, time) : error;
}

int pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* time) noexcept {
  if (act() == nullptr || !is_valid_time(clock, time))
    return real::pthread_rwlock_clockwrlock(lock, clock, time);
  const int error = obtain_rwlock(lock, deadline_at(clock, *time), [=] { return try_write(lock); });
  return error == kMustBlock ? real::pthread_rwlock_clockwrlock(lock, clock, time) : error;
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const timespec* time) noexcept {
  return pthread_rwlock_clockrdlock(lock, CLOCK_REALTIME, time);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const timespec* time) noexcept {
  return pthread_rwlock_clockwrlock(lock, CLOCK_REALTIME, time);
}

int pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
  note_release(lock);
  const int error = real::pthread_rwlock_unlock(lock);
  if (lock_waiters_exist()) wake_lock_waiters(lock, kAllWaiters);
  return error;
}

// ---- semaphores

int sem_wait(sem_t* semaphore) {
  if (act() == nullptr) return real::sem_wait(semaphore);
  const int saved_errno = errno;
  if (real::sem_trywait(semaphore) == 0) return 0;
  errno = saved_errno;
  return obtain_semaphore(semaphore, kForever);
}

int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* time) {
  if (act() == nullptr || !is_valid_time(clock, time)) return real::sem_clockwait(semaphore, clock, time);
  return timed_semaphore(semaphore, clock, time);
}

int sem_timedwait(sem_t* semaphore, const timespec* time) {
  if (act() == nullptr || !is_valid_time(CLOCK_REALTIME, time)) return real::sem_timedwait(semaphore, time);
  return timed_semaphore(semaphore, CLOCK_REALTIME, time);
}

int sem_trywait(sem_t* semaphore) noexcept {
  const int result = real::sem_trywait(semaphore);
  if (result != 0 && act() != nullptr)
    take_part();  // a task that retries in a loop lets the posting task run
  return result;
}

// Async-signal-safe, as POSIX requires.
int sem_post(sem_t* semaphore) noexcept {
  const int result = real::sem_post(semaphore);
  if (lock_waiters_exist()) wake_lock_waiters(semaphore, 1);
  return result;
}

}  // extern "C"
