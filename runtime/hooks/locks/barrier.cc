// SPDX-License-Identifier: Apache-2.0
//
// Barriers, spinlocks, and joining a thread.
//
// A barrier has no try: arriving means waiting. So each task arrives on a thread of a separate pool, which
// has as many threads as the system allows: one thread too few, and all parties would wait for ever. A task
// that finds a spinlock taken lets the other tasks of its thread run. pthread_join checks for the thread's
// end, at most every 20 ms.
#include <pthread.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/offload.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

runtime::OffloadPool& barrier_pool() {
  constexpr std::size_t kNoLimit = std::size_t{1} << 30;
  static runtime::OffloadPool* pool = new runtime::OffloadPool(kNoLimit, "aiofiber_b");
  return *pool;
}

// The OS thread; 0: it has ended. The number of a thread's CPU-time clock contains it.
std::uint64_t id_of(pthread_t thread) noexcept {
  clockid_t clock = 0;
  return ::pthread_getcpuclockid(thread, &clock) == 0 ? static_cast<std::uint64_t>(~(clock >> 3)) : 0;
}

int join(pthread_t thread, void** result, runtime::Nanoseconds deadline) {
  const int saved_errno = errno;
  Backoff backoff(AIOFIBER_WAIT_THREAD_END, id_of(thread), deadline, false);
  int error;
  while ((error = real::pthread_tryjoin_np(thread, result)) == EBUSY) {
    if (backoff.wait()) continue;
    error = errno;
    break;
  }
  errno = saved_errno;
  return error;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int pthread_barrier_wait(pthread_barrier_t* barrier) noexcept {
  if (!acts() || aiofiber::runtime::current_fiber()->unwinding) return real::pthread_barrier_wait(barrier);
  const int saved_errno = errno;
  int result = EAGAIN;
  const bool arrived = without_throwing([&] {
    result = aiofiber::runtime::offload([=] { return real::pthread_barrier_wait(barrier); }, barrier_pool());
  });
  calls_since_turn = 0;
  errno = saved_errno;
  return arrived ? result : EAGAIN;
}

int pthread_spin_lock(pthread_spinlock_t* lock) noexcept {
  if (act() == nullptr) return real::pthread_spin_lock(lock);
  constexpr int kTriesBetweenTurns = 100;
  for (int tries = 0; real::pthread_spin_trylock(lock) != 0;) {
    if (++tries % kTriesBetweenTurns == 0) give_turn();
  }
  return 0;
}

int pthread_spin_trylock(pthread_spinlock_t* lock) noexcept {
  const int error = real::pthread_spin_trylock(lock);
  if (error != 0 && act() != nullptr) take_part();  // a task that retries lets the lock's owner run
  return error;
}

// Counted too: the joined thread may wait for another task.
int pthread_tryjoin_np(pthread_t thread, void** result) noexcept {
  const int error = real::pthread_tryjoin_np(thread, result);
  if (error == EBUSY && act() != nullptr) take_part();
  return error;
}

int pthread_join(pthread_t thread, void** result) {
  if (!acts()) return real::pthread_join(thread, result);
  // On a simulated machine a sleep would take simulated time, and the thread takes none: the clock waits for
  // the pool.
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr)) {
    const int saved_errno = errno;
    const int error = on_pool_to_the_end_once(
        EAGAIN, [=] { return real::pthread_join(thread, result); }, barrier_pool());
    errno = saved_errno;
    return error;
  }
  // It must not return before it has joined, so a cancellation is deferred; while the loop closes, it blocks.
  aiofiber::runtime::Fiber& fiber = *aiofiber::runtime::current_fiber();
  bool cancelled = false;
  int error = ECANCELED;
  while (error == ECANCELED && !fiber.unwinding) {
    cancelled |= fiber.take_interrupted();
    error = join(thread, result, aiofiber::runtime::kForever);
  }
  fiber.interrupted |= cancelled;
  return error == ECANCELED || error == ENOMEM ? real::pthread_join(thread, result) : error;
}

int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const timespec* time) {
  if (!is_valid_time(clock, time) || !acts()) return real::pthread_clockjoin_np(thread, result, clock, time);
  return join(thread, result, deadline_at(clock, *time));
}

int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* time) {
  return pthread_clockjoin_np(thread, result, CLOCK_REALTIME, time);
}

}  // extern "C"
