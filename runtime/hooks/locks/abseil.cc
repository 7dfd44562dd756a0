// SPDX-License-Identifier: Apache-2.0
//
// absl::Mutex, and what is built on it: CondVar, Notification, Barrier, BlockingCounter.
//
// Each of them waits in one place: a counting semaphore in the ThreadIdentity of the caller. abseil's Wait
// and Post of that semaphore are weak functions, meant to be replaced. Here, a task that waits is queued by
// the address of its identity; Post from any thread raises the count and wakes it.
//
// A lock of abseil queues identities, and an identity can be in one queue at a time. So two tasks of a thread
// must not share one, from the first line of a call into abseil to its last. abseil may suspend the task in
// any part of the call: it yields and sleeps while it contends for a lock's bits, and it calls the program's
// conditions. Therefore a task has an identity of its own for its whole life. abseil finds identities under a
// pthread key, and this key gets values per task (process/keys.cc); the key's destructor gives the identity
// back when the task ends. To abseil, a task is then a thread.
//
// In a program with a static abseil, the linker takes these functions in place of abseil's. The waits of
// threads then come here too, so the code below does what abseil's FutexWaiter does, on the same word. With
// the shared library, threads wait in abseil's own function.
//
// As with a mutex of libc, a cancellation does not end the wait: abseil cannot be left by an error. It is
// raised at the next place that can fail.
#include "hooks/core/abseil.h"

#if AIOFIBER_HAS_ABSEIL
#include <absl/base/internal/thread_identity.h>
#include <absl/synchronization/internal/create_thread_identity.h>
#include <absl/synchronization/internal/kernel_timeout.h>
#include <absl/synchronization/internal/per_thread_sem.h>
#include <absl/synchronization/internal/waiter.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/locals.h"
#include "hooks/core/real.h"
#include "hooks/locks/lock_queue.h"

// What is assumed of abseil. It holds wherever abseil runs on Linux, unless its build was told otherwise.
#if ABSL_THREAD_IDENTITY_MODE != ABSL_THREAD_IDENTITY_MODE_USE_POSIX_SETSPECIFIC
#error "this abseil does not keep the identity of a thread under a pthread key"
#endif
#if ABSL_WAITER_MODE != ABSL_WAITER_MODE_FUTEX
#error "the threads of this abseil do not wait on a futex"
#endif

// Weak: null in a program without abseil.
namespace absl {
ABSL_NAMESPACE_BEGIN
namespace base_internal {
[[gnu::weak]] ThreadIdentity* CurrentThreadIdentityIfPresent();
}
namespace synchronization_internal {
[[gnu::weak]] base_internal::ThreadIdentity* CreateThreadIdentity();
}
ABSL_NAMESPACE_END
}  // namespace absl

namespace aiofiber::hooks {

namespace {

using absl::base_internal::ThreadIdentity;
using absl::synchronization_internal::KernelTimeout;
using Count = std::atomic<std::int32_t>;

// ---- the semaphore

// The posts that nobody has taken; the word of abseil's FutexWaiter.
Count& count_of(ThreadIdentity& identity) noexcept {
  static_assert(sizeof(absl::synchronization_internal::Waiter) == sizeof(Count));
  static_assert(Count::is_always_lock_free);
  return *reinterpret_cast<Count*>(identity.waiter_state.data);
}

bool take(Count& count) noexcept {
  std::int32_t seen = count.load(std::memory_order_seq_cst);
  while (seen != 0) {
    if (count.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      tell_tsan_of_acquire(&count);
      return true;
    }
  }
  return false;
}

void post(ThreadIdentity& identity) noexcept {
  Count& count = count_of(identity);
  tell_tsan_of_release(&count);
  const bool may_wait = count.fetch_add(1, std::memory_order_seq_cst) == 0;
  if (lock_waiters_exist() && wake_lock_waiters(&identity, 1) > 0) return;
  if (!may_wait) return;
  const int saved_errno = errno;
  ::syscall(SYS_futex, &count, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
  errno = saved_errno;
}

struct Limit {
  bool exists = false;
  clockid_t clock = CLOCK_REALTIME;
  timespec at{};
};

// KernelTimeout's own conversions are functions of abseil's library, so the bits are read here. Since 2023
// the lowest bit tells the clock and the others are the time; before, the clock was always the wall's.
template <class Timeout>
Limit limit_of(const Timeout& timeout) noexcept {
  if (!timeout.has_timeout()) return {};
  auto nanoseconds = std::bit_cast<std::int64_t>(timeout);
  Limit limit{.exists = true};
  if constexpr (requires { timeout.is_relative_timeout(); }) {
    if (timeout.is_relative_timeout()) limit.clock = CLOCK_MONOTONIC;
    nanoseconds = static_cast<std::int64_t>(static_cast<std::uint64_t>(nanoseconds) >> 1);
  }
  if (nanoseconds > 0) limit.at = {nanoseconds / kSecond, nanoseconds % kSecond};
  return limit;
}

// ---- the wait of a thread

bool wait_on_futex(Count& count, const Limit& limit) noexcept {
  const int saved_errno = errno;
  const int operation =
      FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | (limit.clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
  bool taken;
  while (!(taken = take(count))) {
    const long result = ::syscall(SYS_futex, &count, operation, 0, limit.exists ? &limit.at : nullptr,
                                  nullptr, FUTEX_BITSET_MATCH_ANY);
    if (result != 0 && errno == ETIMEDOUT) break;
  }
  errno = saved_errno;
  return taken;
}

// What abseil's own function does, which the linker left out.
bool wait_as_abseil_does(ThreadIdentity& identity, KernelTimeout timeout) noexcept {
  const int ticker = identity.ticker.load(std::memory_order_relaxed);
  identity.wait_start.store(ticker != 0 ? ticker : 1, std::memory_order_relaxed);
  identity.is_idle.store(false, std::memory_order_relaxed);
  std::atomic<int>* const blocked = identity.blocked_count_ptr;
  if (blocked != nullptr) blocked->fetch_add(1, std::memory_order_relaxed);
  const bool taken = wait_on_futex(count_of(identity), limit_of(timeout));
  if (blocked != nullptr) blocked->fetch_sub(1, std::memory_order_relaxed);
  identity.is_idle.store(false, std::memory_order_relaxed);
  identity.wait_start.store(0, std::memory_order_relaxed);
  return taken;
}

// Null with a static abseil, and with one that was opened for a plugin only. Resolved at load: dlsym()
// must not be called in the middle of a lock.
using WaitFunction = bool (*)(KernelTimeout);
constinit WaitFunction abseils_wait = nullptr;

// The identity of the caller: the current task's, else the thread's.
ThreadIdentity* current_identity() noexcept {
  const pthread_key_t key = abseil_key.load(std::memory_order_acquire);
  return key == kNoKey ? nullptr : static_cast<ThreadIdentity*>(::pthread_getspecific(key));
}

bool block_thread(KernelTimeout timeout) noexcept {
  if (abseils_wait != nullptr) return abseils_wait(timeout);
  ThreadIdentity* identity = current_identity();
  // A thread that was started before find_abseil() has run.
  if (identity == nullptr && absl::base_internal::CurrentThreadIdentityIfPresent != nullptr)
    identity = absl::base_internal::CurrentThreadIdentityIfPresent();
  if (identity == nullptr) {
    std::fputs("aiofiber hooks: a thread waits for a lock of an abseil that is not known\n", stderr);
    std::abort();
  }
  return wait_as_abseil_does(*identity, timeout);
}

// ---- the wait of a task

bool wait_in_task(ThreadIdentity& identity, KernelTimeout timeout) {
  Count& count = count_of(identity);
  if (take(count)) return true;
  const int saved_errno = errno;
  const Limit limit = limit_of(timeout);
  const runtime::Nanoseconds deadline = limit.exists ? deadline_at(limit.clock, limit.at) : runtime::kForever;
  // abseil does not say for which lock it waits.
  const ShownWait shown{.kind = AIOFIBER_WAIT_LOCK, .has_address = false};
  const int result =
      wait_for_lock(&identity, shown, deadline, false, false, [&] { return take(count) ? 0 : EBUSY; });
  errno = saved_errno;
  return result == kMustBlock ? block_thread(timeout) : result == 0;
}

// ---- at load

// Finds the key by its value. Without abseil in the program there is nothing to find; abseil's library may be
// opened later, and is then known when it makes its key (process/keys.cc).
[[gnu::constructor]] void find_abseil() noexcept {
  if (absl::synchronization_internal::CreateThreadIdentity == nullptr) return;
  ThreadIdentity* identity = absl::base_internal::CurrentThreadIdentityIfPresent();
  if (identity == nullptr) identity = absl::synchronization_internal::CreateThreadIdentity();
  for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; ++key) {
    if (real::pthread_getspecific(key) != identity) continue;
    give_values_per_task(key);
    abseil_key.store(key, std::memory_order_release);
    break;
  }
  abseils_wait = reinterpret_cast<WaitFunction>(
      aiofiber_real_function(AIOFIBER_ABSEIL_NAME(AbslInternalPerThreadSemWait), nullptr));
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

void ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemPost)(ThreadIdentity* identity) { post(*identity); }

bool ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemWait)(KernelTimeout timeout) {
  if (act() == nullptr) return block_thread(timeout);
  ThreadIdentity* const identity = current_identity();
  return identity != nullptr ? wait_in_task(*identity, timeout) : block_thread(timeout);
}

}  // extern "C"
#endif  // AIOFIBER_HAS_ABSEIL
