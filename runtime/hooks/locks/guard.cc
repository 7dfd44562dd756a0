// SPDX-License-Identifier: Apache-2.0
//
// The guards of function-local statics. As in once.cc, a task parks if another task has begun the
// initialisation. Otherwise it would block the thread and thus the other task.
//
// libstdc++'s functions do the work if the loader finds them. With -static-libstdc++ it does not: the names
// defined here have replaced libstdc++'s in the program. Then the code here does the same with the same bits
// of the guard. The Itanium C++ ABI leaves these to the implementation, except the first byte.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "hooks/core/act.h"
#include "hooks/core/real.h"
#include "hooks/glibc/hidden_words.h"
#include "hooks/locks/once.h"

namespace aiofiber::hooks {

namespace {

std::uint32_t* word_of(std::uint64_t* guard) noexcept { return reinterpret_cast<std::uint32_t*>(guard); }

int acquire_here(std::uint64_t* guard) noexcept {
  std::uint32_t* const word = word_of(guard);
  for (;;) {
    std::uint32_t seen = 0;
    if (__atomic_compare_exchange_n(word, &seen, kGuardRunning, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      return 1;
    if ((seen & kGuardDone) != 0) return 0;
    if (seen == kGuardRunning && !__atomic_compare_exchange_n(word, &seen, kGuardRunning | kGuardThreadsWait,
                                                              false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      continue;
    }
    const int saved_errno = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, kGuardRunning | kGuardThreadsWait, nullptr);
    errno = saved_errno;
  }
}

void finish_here(std::uint64_t* guard, std::uint32_t value) noexcept {
  std::uint32_t* const word = word_of(guard);
  if ((__atomic_exchange_n(word, value, __ATOMIC_ACQ_REL) & kGuardThreadsWait) == 0) return;
  const int saved_errno = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX);
  errno = saved_errno;
}

void release_here(std::uint64_t* guard) { finish_here(guard, kGuardDone); }
void abort_here(std::uint64_t* guard) { finish_here(guard, 0); }

// libstdc++'s function, or the one here. Found at the first call, as in real.h. No static here can have a
// guard.
template <class R>
class GuardFunction {
 public:
  using Pointer = R (*)(std::uint64_t*);
  constexpr GuardFunction(const char* name, Pointer own) noexcept : name_(name), own_(own) {}
  R operator()(std::uint64_t* guard) {
    Pointer function = function_.load(std::memory_order_relaxed);
    if (AIOFIBER_UNLIKELY(function == nullptr)) function = resolve();
    return function(guard);
  }
  Pointer resolve() noexcept {
    auto function = reinterpret_cast<Pointer>(aiofiber_real_function(name_, nullptr));
    if (function == nullptr) function = own_;
    function_.store(function, std::memory_order_relaxed);
    return function;
  }

 private:
  const char* name_;
  Pointer own_;
  std::atomic<Pointer> function_{nullptr};
};

constinit GuardFunction<int> real_acquire{"__cxa_guard_acquire", &acquire_here};
constinit GuardFunction<void> real_release{"__cxa_guard_release", &release_here};
constinit GuardFunction<void> real_abort{"__cxa_guard_abort", &abort_here};

// All three are found at load time, so that they come from the same place.
[[gnu::constructor]] void resolve_guards() noexcept {
  const auto acquire = real_acquire.resolve();
  const auto release = real_release.resolve();
  check_guard_words(acquire, release, real_abort.resolve());
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int __cxa_guard_acquire(std::uint64_t* guard) {
  if (act() != nullptr && guard_is_running(guard)) wait_while(guard, [=] { return guard_is_running(guard); });
  const int mine = real_acquire(guard);
  if (mine != 0) note_initialiser(guard);
  return mine;
}

void __cxa_guard_release(std::uint64_t* guard) noexcept {
  forget_initialiser(guard);
  real_release(guard);
  wake_waiters(guard);
}

void __cxa_guard_abort(std::uint64_t* guard) noexcept {
  forget_initialiser(guard);
  real_abort(guard);
  wake_waiters(guard);
}

}  // extern "C"
