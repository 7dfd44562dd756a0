// SPDX-License-Identifier: Apache-2.0
//
// What runs once: pthread_once (std::call_once comes here) and the guards of function-local statics.
//
// The task that initialises may suspend in the middle. Another that comes to the same place would block the
// thread in libc, and with it the first: so it parks until the guard's word says "done" or "given up".
// std::call_once leaves what is to be called in two thread-locals of libstdc++; they are put back after a
// park.
#include <pthread.h>

#include <cerrno>
#include <mutex>

#include "hooks/act.h"
#include "hooks/lock_queue.h"
#include "hooks/real.h"

namespace aiofiber::hooks {

namespace {

// glibc's pthread_once_t: bit 0 while it runs, bit 1 when it is done.
bool once_is_running(const pthread_once_t* control) noexcept {
  return (__atomic_load_n(control, __ATOMIC_ACQUIRE) & 3) == 1;
}

// The Itanium C++ ABI's guard as libstdc++ fills it: the first byte when done, the second while it runs.
bool guard_is_running(const std::uint64_t* guard) noexcept {
  return (__atomic_load_n(reinterpret_cast<const std::uint32_t*>(guard), __ATOMIC_ACQUIRE) & 0x101) == 0x100;
}

// Parks until running() is false. Who initialises may be a thread whose hooks are not ours: looks now and
// then.
template <class Running>
void wait_while(const void* address, Running running) {
  const int saved_errno = errno;
  wait_for_lock(address, runtime::kForever, false, true, [&] { return running() ? EBUSY : 0; });
  errno = saved_errno;
}

void wake_waiters(const void* address) noexcept {
  if (lock_waiters_exist()) wake_lock_waiters(address, kAllWaiters);
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int pthread_once(pthread_once_t* control, void (*routine)()) {
  if (act() != nullptr && once_is_running(control)) {
#ifdef _GLIBCXX_HAVE_TLS
    void* const callable = std::__once_callable;
    void (*const call)() = std::__once_call;
#endif
    wait_while(control, [=] { return once_is_running(control); });
#ifdef _GLIBCXX_HAVE_TLS
    std::__once_callable = callable;
    std::__once_call = call;
#endif
  }
  // However it is left, by an exception of the routine too.
  struct Wake {
    ~Wake() { wake_waiters(address); }
    const void* address;
  } const wake{control};
  return real::pthread_once(control, routine);
}

int __cxa_guard_acquire(std::uint64_t* guard) {
  if (act() != nullptr && guard_is_running(guard)) wait_while(guard, [=] { return guard_is_running(guard); });
  return real::__cxa_guard_acquire(guard);
}

void __cxa_guard_release(std::uint64_t* guard) noexcept {
  real::__cxa_guard_release(guard);
  wake_waiters(guard);
}

void __cxa_guard_abort(std::uint64_t* guard) noexcept {
  real::__cxa_guard_abort(guard);
  wake_waiters(guard);
}

}  // extern "C"
