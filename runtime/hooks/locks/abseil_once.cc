// SPDX-License-Identifier: Apache-2.0
//
// absl::call_once. As in once.cc, a task parks if another task has begun the initialisation. abseil's own
// code needs it too: the first task that contends for an absl::Mutex measures the processor's clock in a
// call_once, and sleeps in it.
//
// abseil waits for a word to change in one weak function, for call_once and for its spinlocks. A task that
// waits for a spinlock blocks the thread, as before: code with a spinlock never suspends, so another thread
// holds it, for a few instructions. The word's value tells the two apart.
#include "hooks/core/abseil.h"

#if AIOFIBER_HAS_ABSEIL
#include <absl/base/call_once.h>
#include <absl/base/internal/scheduling_mode.h>
#include <absl/base/internal/spinlock_wait.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "hooks/core/act.h"
#include "hooks/locks/lock_queue.h"

using namespace aiofiber::hooks;

extern "C" {

void ABSL_INTERNAL_C_SYMBOL(AbslInternalSpinLockDelay)(std::atomic<std::uint32_t>* word, std::uint32_t value,
                                                       int, absl::base_internal::SchedulingMode) {
  if (value == absl::base_internal::kOnceWaiter && act() != nullptr) {
    const auto attempt = [=] { return word->load(std::memory_order_seq_cst) != value ? 0 : EBUSY; };
    if (wait_for_lock(word, {}, aiofiber::runtime::kForever, false, false, attempt) != kMustBlock) return;
  }
  const int saved_errno = errno;
  ::syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, value, nullptr);
  errno = saved_errno;
}

void ABSL_INTERNAL_C_SYMBOL(AbslInternalSpinLockWake)(std::atomic<std::uint32_t>* word, bool all) {
  if (lock_waiters_exist()) wake_lock_waiters(word, all ? kAllWaiters : 1);
  const int saved_errno = errno;
  ::syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, all ? INT_MAX : 1);
  errno = saved_errno;
}

}  // extern "C"
#endif  // AIOFIBER_HAS_ABSEIL
