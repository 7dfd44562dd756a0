// SPDX-License-Identifier: Apache-2.0
//
// Mutexes: a task that finds a mutex locked parks, whether a task of its thread or another thread owns it.
//
// libc's mutex stays the lock and is only ever tried. Recursive and error-checking mutexes know their owner
// by thread, but all tasks of a thread are one thread to libc. So a table of the thread holds the owning task
// and the lock count.
//
// A thread that locks and unlocks a mutex in a loop would always be faster than a task that has to be woken
// first. After four failures a task asks for a hand-over: the next release leaves the mutex locked, and it
// belongs to the task. The release in pthread_cond_wait of a thread is inside libc and wakes no task. So
// while a thread owns the mutex, the task also tries at intervals.
//
// Waiting for a mutex cannot fail, so a cancellation does not end it. It is raised later, at a place that can
// fail. libc writes the owning thread into a mutex; the hooks write the task beside it, to show what tasks
// wait for.
#include "hooks/locks/mutex.h"

#include <sys/single_threaded.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/inspect/held_locks.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/real.h"
#include "hooks/glibc/mutex_words.h"
#include "hooks/locks/lock_queue.h"

namespace aiofiber::hooks {

namespace {

using runtime::Fiber;
using runtime::kForever;
using runtime::Nanoseconds;

constexpr int kLossesUntilHandOver = 4;
constexpr int kSpins = 40;  // spins while another thread is inside a short critical section
constexpr Nanoseconds kFirstLook = 100'000;
constexpr Nanoseconds kLongestLook = 20'000'000;

AIOFIBER_ALWAYS_INLINE void note_taken(const Fiber& fiber, pthread_mutex_t* mutex) noexcept {
  if (has_room_for_task(mutex)) note_task(mutex, fiber.id);
  if (runtime::held_locks::noting()) runtime::held_locks::note_taken(mutex, "mutex");
}
AIOFIBER_ALWAYS_INLINE void note_released(pthread_mutex_t* mutex) noexcept {
  if (has_room_for_task(mutex)) note_task(mutex, 0);
  if (runtime::held_locks::noting()) runtime::held_locks::note_released(mutex);
}

ShownWait shown_wait(const pthread_mutex_t* mutex) noexcept {
  const std::uint64_t at = reinterpret_cast<std::uint64_t>(mutex) + kMutexOwnerAt;
  return {AIOFIBER_WAIT_LOCK, has_room_for_task(mutex) ? at | AIOFIBER_OWNER_THREAD : 0};
}

bool held_by_other_thread(const pthread_mutex_t* mutex, const Fiber& fiber) noexcept {
  return owner_thread(mutex) != fiber.tid;
}

// ---- mutexes that know their owner

struct Ownership {
  Fiber* fiber;
  unsigned depth;
};
using OwnerTable = std::unordered_map<pthread_mutex_t*, Ownership>;
// The mutexes that tasks of this thread own. Never freed: a thread's loops may come and go.
constinit thread_local OwnerTable* owner_table __attribute__((tls_model("initial-exec"))) = nullptr;

Ownership* find_owner(pthread_mutex_t* mutex) noexcept {
  if (owner_table == nullptr) return nullptr;
  const auto found = owner_table->find(mutex);
  return found == owner_table->end() ? nullptr : &found->second;
}

// trylock by task: EBUSY if another task owns it, EDEADLK if this task owns an error-checking one.
int try_owned(Fiber& fiber, pthread_mutex_t* mutex) {
  if (Ownership* owner = find_owner(mutex)) {
    if (owner->fiber != &fiber) return EBUSY;
    if (!is_recursive(mutex)) return EDEADLK;
    ++owner->depth;
    return 0;
  }
  int error = real::pthread_mutex_trylock(mutex);
  if (error != 0 && error != EOWNERDEAD) return error;
  note_taken(fiber, mutex);
  const bool noted = without_throwing([&] {
    if (owner_table == nullptr) owner_table = new OwnerTable;
    (*owner_table)[mutex] = {&fiber, 1};
  });
  if (noted) return error;
  note_released(mutex);
  real::pthread_mutex_unlock(mutex);
  return EAGAIN;  // POSIX: no room for another lock
}

AIOFIBER_ALWAYS_INLINE int try_simple(Fiber& fiber, pthread_mutex_t* mutex) noexcept {
  // While the process has one thread, libc's lock needs no locked instruction, but its trylock does. A mutex
  // that looks free stays free then.
  const bool is_free = __libc_single_threaded && looks_free(mutex);
  const int error = is_free ? real::pthread_mutex_lock(mutex) : real::pthread_mutex_trylock(mutex);
  if (AIOFIBER_LIKELY(error == 0)) note_taken(fiber, mutex);
  return error;
}

int try_mutex(Fiber& fiber, pthread_mutex_t* mutex) {
  if (is_simple(mutex)) return try_simple(fiber, mutex);
  if (knows_owner(mutex)) return try_owned(fiber, mutex);
  const int error = real::pthread_mutex_trylock(mutex);
  if (error == 0) note_taken(fiber, mutex);
  return error;
}

// ---- waiting

void note_hand_over(const void* address, const Fiber& owner) noexcept {
  auto* mutex = static_cast<pthread_mutex_t*>(const_cast<void*>(address));
  note_task(mutex, owner.id);
  set_owner_thread(mutex, owner.tid);
}

bool spin(Fiber& fiber, pthread_mutex_t* mutex, int& result) {
  if (knows_owner(mutex) || !held_by_other_thread(mutex, fiber)) return false;
  for (int i = 0; i < kSpins; ++i) {
    runtime::arch::pause();
    if (!looks_free(mutex)) continue;
    if ((result = try_mutex(fiber, mutex)) != EBUSY) return true;
  }
  return false;
}

// The loop is closing, so the task cannot wait: a mutex owned by a task of the same thread would never be
// released.
int lock_blocking(Fiber& fiber, pthread_mutex_t* mutex) {
  if (knows_owner(mutex) || held_by_other_thread(mutex, fiber)) return real::pthread_mutex_lock(mutex);
  return EDEADLK;
}

AIOFIBER_NOINLINE int lock_contended(Fiber& fiber, pthread_mutex_t* mutex, Nanoseconds deadline) {
  int result;
  if (spin(fiber, mutex, result)) return result;
  Nanoseconds look = kFirstLook;
  ShownWait shown = shown_wait(mutex);
  shown.whole = {wait_begins(), deadline};
  for (int losses = 0;;) {
    LockWait wait(mutex, shown, losses == 0 ? LockWait::Place::kLast : LockWait::Place::kFirst,
                  losses >= kLossesUntilHandOver && is_simple(mutex));
    result = try_mutex(fiber, mutex);
    if (result != EBUSY) {
      if (!wait.withdraw()) wake_lock_waiters(mutex, 1);
      return result;
    }
    const bool may_be_silent = held_by_other_thread(mutex, fiber);
    const Nanoseconds now = loop_now();
    const Nanoseconds until = may_be_silent ? std::min(deadline, now + look) : deadline;
    const runtime::Wake reason = wait.sleep(until, false);
    if (!wait.withdraw()) {
      if (wait.has_lock()) {
        if (runtime::held_locks::noting()) runtime::held_locks::note_taken(mutex, "mutex");
        return 0;
      }
      ++losses;  // unless the next try succeeds
      continue;
    }
    if (reason == runtime::Wake::kInterrupted) return lock_blocking(fiber, mutex);
    if (loop_now() < deadline) {
      look = std::min(2 * look, kLongestLook);
      continue;
    }
    result = try_mutex(fiber, mutex);
    if (result != EBUSY) return result;
    wake_lock_waiters(mutex, 1);  // the next waiter reads the new owner for itself
    return ETIMEDOUT;
  }
}

// Like libc, reads the clock only if it has to wait.
int lock_until(Fiber& fiber, pthread_mutex_t* mutex, clockid_t clock, const timespec* time) {
  const int result = try_mutex(fiber, mutex);
  if (result != EBUSY) return result;
  if (!is_valid_time(clock, time)) return EINVAL;
  const int saved_errno = errno;
  const int waited = lock_contended(fiber, mutex, deadline_at(clock, *time));
  errno = saved_errno;
  return waited;
}

}  // namespace

AIOFIBER_NOINLINE int lock_mutex(pthread_mutex_t* mutex) {
  Fiber& fiber = *runtime::current_fiber();
  const int result = try_mutex(fiber, mutex);
  if (AIOFIBER_LIKELY(result != EBUSY)) return result;
  const int saved_errno = errno;
  const int waited = lock_contended(fiber, mutex, kForever);
  errno = saved_errno;
  return waited;
}

namespace {

AIOFIBER_ALWAYS_INLINE int release_mutex(pthread_mutex_t* mutex) {
  if (starving_waiters_exist() && is_simple(mutex) && hand_lock_over(mutex, note_hand_over)) return 0;
  const int result = real::pthread_mutex_unlock(mutex);
  if (lock_waiters_exist()) wake_lock_waiters(mutex, 1);
  return result;
}

// With hooks off, libc locks and unlocks. But this may be the last release of a lock from before hooks were
// off: then the table must be updated.
bool releases_noted(const pthread_mutex_t* mutex, const Fiber& fiber) noexcept {
  if (!knows_owner(mutex) || recursions(mutex) > 1) return false;  // libc counts only recursive ones
  const Ownership* owner = find_owner(const_cast<pthread_mutex_t*>(mutex));
  return owner != nullptr && owner->fiber == &fiber;
}

}  // namespace

AIOFIBER_NOINLINE int unlock_mutex(pthread_mutex_t* mutex) {
  if (knows_owner(mutex)) {
    if (Ownership* owner = find_owner(mutex)) {
      if (owner->fiber != runtime::current_fiber()) return EPERM;
      if (--owner->depth > 0) return 0;
      owner_table->erase(mutex);
    }
  }
  note_released(mutex);
  return release_mutex(mutex);
}

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  aiofiber::runtime::Fiber* fiber = act();
  if (fiber == nullptr) return real::pthread_mutex_lock(mutex);
  if (AIOFIBER_LIKELY(is_simple(mutex)) && AIOFIBER_LIKELY(try_simple(*fiber, mutex) == 0)) return 0;
  return lock_mutex(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  aiofiber::runtime::Fiber* fiber = act();
  if (fiber == nullptr) return real::pthread_mutex_trylock(mutex);
  const int result = try_mutex(*fiber, mutex);
  if (result != EBUSY && result != EDEADLK) return result;
  take_part();  // a task that retries in a loop lets the owner run
  return EBUSY;
}

int pthread_mutex_timedlock(pthread_mutex_t* mutex, const timespec* time) noexcept {
  aiofiber::runtime::Fiber* fiber = act();
  if (fiber == nullptr) return real::pthread_mutex_timedlock(mutex, time);
  return lock_until(*fiber, mutex, CLOCK_REALTIME, time);
}

int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* time) noexcept {
  aiofiber::runtime::Fiber* fiber = act();
  // libc refuses others even when the mutex is free.
  const bool has_clock = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
  if (fiber == nullptr || !has_clock) return real::pthread_mutex_clocklock(mutex, clock, time);
  return lock_until(*fiber, mutex, clock, time);
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  const aiofiber::runtime::Fiber* fiber = aiofiber::runtime::current_fiber();
  if (AIOFIBER_LIKELY(fiber == nullptr)) return release_mutex(mutex);
  const bool simple = is_simple(mutex);
  if (AIOFIBER_UNLIKELY(!simple && (fiber->hooks_off == 0 || releases_noted(mutex, *fiber))))
    return unlock_mutex(mutex);
  if (simple) note_released(mutex);  // even with hooks off: it may have been locked before
  return release_mutex(mutex);
}

}  // extern "C"
