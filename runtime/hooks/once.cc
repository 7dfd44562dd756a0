// SPDX-License-Identifier: Apache-2.0
//
// pthread_once, to which std::call_once comes.
//
// The task that initialises may suspend in the middle. Another that comes to the same place would block the
// thread in libc, and with it the first: so it parks until the guard's word says "done" or "given up".
// std::call_once leaves what is to be called in two thread-locals of libstdc++; they are put back after a
// park.
#include <pthread.h>

#include <mutex>

#include "hooks/act.h"
#include "hooks/once.h"
#include "hooks/real.h"

namespace aiofiber::hooks {

namespace {

// glibc's pthread_once_t: bit 0 while it runs, bit 1 when it is done.
bool once_is_running(const pthread_once_t* control) noexcept {
  return (__atomic_load_n(control, __ATOMIC_ACQUIRE) & 3) == 1;
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

}  // extern "C"
