// SPDX-License-Identifier: Apache-2.0
//
// Read-write locks and semaphores: tried, and waited for in the queue of their address.
//
// Which waiter may go on is libc's to say, so a release of a read-write lock wakes them all to try again. A
// semaphore's post wakes one. Waiting for a read-write lock cannot be cancelled; for a semaphore it can
// (ECANCELED).
#include <pthread.h>
#include <semaphore.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "aiofiber/runtime/inspect/held_locks.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"
#include "hooks/locks/lock_queue.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

// libc writes the writing thread into the lock; the hooks write the task into a word that libc leaves alone,
// for those who look at what tasks wait for. Not where processes share the lock: they number their tasks
// alike.
void note_writer(pthread_rwlock_t* lock, std::uint64_t id) noexcept {
  __atomic_store_n(&lock->__data.__pad2, static_cast<unsigned long>(id), __ATOMIC_RELAXED);
}
constexpr std::size_t kWriterAt = offsetof(pthread_rwlock_t, __data.__cur_writer);
static_assert(offsetof(pthread_rwlock_t, __data.__pad2) == kWriterAt + 16, "see AIOFIBER_OWNER_THREAD");

// The task has it for writing: waiting for itself is EDEADLK, as libc tells a thread. (trylock cannot know:
// EBUSY.)
bool is_written_by(const pthread_rwlock_t* lock, const runtime::Fiber& fiber) noexcept {
  return lock->__data.__shared == 0 && __atomic_load_n(&lock->__data.__pad2, __ATOMIC_RELAXED) == fiber.id &&
         static_cast<std::uint32_t>(__atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED)) ==
             fiber.tid;
}

// Of a task.
int try_write(pthread_rwlock_t* lock) noexcept {
  const int error = real::pthread_rwlock_trywrlock(lock);
  if (error != 0) return error;
  if (lock->__data.__shared == 0) note_writer(lock, runtime::current_fiber()->id);
  if (runtime::held_locks::noting()) runtime::held_locks::note_taken(lock, "read-write lock for writing");
  return 0;
}
int try_read(pthread_rwlock_t* lock) noexcept {
  const int error = real::pthread_rwlock_tryrdlock(lock);
  if (error == 0 && runtime::held_locks::noting())
    runtime::held_locks::note_taken(lock, "read-write lock for reading");
  return error;
}
// Who releases a lock that has a writer is the writer.
void note_release(pthread_rwlock_t* lock) noexcept {
  if (runtime::held_locks::noting()) runtime::held_locks::note_released(lock);
  const auto noted = __atomic_load_n(&lock->__data.__pad2, __ATOMIC_RELAXED);
  if (noted != 0 && __atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED) != 0) note_writer(lock, 0);
}

template <class Attempt>
int obtain_rwlock(pthread_rwlock_t* lock, Nanoseconds deadline, Attempt attempt) {
  if (is_written_by(lock, *runtime::current_fiber())) return EDEADLK;
  const bool shared = lock->__data.__shared != 0;
  const std::uint64_t writer_at = reinterpret_cast<std::uint64_t>(lock) + kWriterAt;
  return wait_for_lock(lock, {AIOFIBER_WAIT_LOCK, shared ? 0 : writer_at | AIOFIBER_OWNER_THREAD}, deadline,
                       false, shared, attempt);
}

// glibc's sem_t: the value, then whether processes share it.
bool is_shared(const sem_t* semaphore) noexcept {
  int shared;
  std::memcpy(&shared, semaphore->__size + sizeof(std::uint64_t), sizeof shared);
  return shared != 0;
}

int try_semaphore(sem_t* semaphore) noexcept {
  if (real::sem_trywait(semaphore) == 0) return 0;
  return errno == EAGAIN ? EBUSY : errno;
}

// 0, or -1 with errno. While the loop closes, what would have to wait fails with ECANCELED.
int obtain_semaphore(sem_t* semaphore, Nanoseconds deadline) {
  const int saved_errno = errno;
  const int error = wait_for_lock(semaphore, {AIOFIBER_WAIT_SEMAPHORE, 0}, deadline, true,
                                  is_shared(semaphore), [=] { return try_semaphore(semaphore); });
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
  if (error == EBUSY) take_part();  // who tries until it succeeds lets the task that has it run
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
    take_part();  // who tries until it succeeds lets the task that posts run
  return result;
}

// Async-signal-safe, as POSIX wants it.
int sem_post(sem_t* semaphore) noexcept {
  const int result = real::sem_post(semaphore);
  if (lock_waiters_exist()) wake_lock_waiters(semaphore, 1);
  return result;
}

}  // extern "C"
