// SPDX-License-Identifier: Apache-2.0
//
// pthread_once, which std::call_once calls.
//
// The initialising task may suspend in the middle. A second task that waits in libc would block the thread
// and thus the first task. So it parks until the control's word says "done" or "given up". std::call_once
// leaves its callable in two thread-locals of libstdc++; they are restored after a park.
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "hooks/core/act.h"
#include "hooks/core/real.h"
#include "hooks/glibc/hidden_words.h"
#include "hooks/locks/once.h"

namespace aiofiber::hooks {

namespace {

// A running initialisation and its owner. Never freed: a record may point to `owner`.
struct Initialisation {
  std::atomic<const void*> address{nullptr};
  std::atomic<std::uint64_t> owner{0};  // as AIOFIBER_OWNER_ID
};
constinit Initialisation initialisations[256];

// The routine that pthread_once must call, from our call of it until begin() runs, on the same thread without
// a suspension.
struct Routine {
  const void* control;
  void (*call)();
};
constinit thread_local Routine next_routine __attribute__((tls_model("initial-exec"))) = {};

Initialisation& place_of(const void* address) noexcept {
  const auto hash = (reinterpret_cast<std::uintptr_t>(address) >> 2) * std::uint64_t{0x9E3779B97F4A7C15};
  return initialisations[hash >> 56];
}

// Called instead of the program's routine: only here is it certain that the routine runs, and for which task.
void begin() {
  const Routine routine = next_routine;
  struct Noted {
    explicit Noted(const void* at) noexcept : address(at) { note_initialiser(at); }
    ~Noted() { forget_initialiser(address); }
    Noted(const Noted&) = delete;
    Noted& operator=(const Noted&) = delete;
    const void* address;
  } const noted(routine.control);
  routine.call();
}

}  // namespace

void note_initialiser(const void* address) noexcept {
  Initialisation& place = place_of(address);
  const void* free = nullptr;
  if (!place.address.compare_exchange_strong(free, address, std::memory_order_relaxed)) return;
  const runtime::Fiber* fiber = runtime::current_fiber();
  const std::uint64_t owner =
      fiber != nullptr ? fiber->id
                       : AIOFIBER_OWNER_IS_THREAD | static_cast<std::uint32_t>(::syscall(SYS_gettid));
  place.owner.store(owner, std::memory_order_relaxed);
}

void forget_initialiser(const void* address) noexcept {
  Initialisation& place = place_of(address);
  if (place.address.load(std::memory_order_relaxed) != address) return;
  place.owner.store(0, std::memory_order_relaxed);
  place.address.store(nullptr, std::memory_order_release);
}

std::uint64_t initialiser_at(const void* address) noexcept {
  Initialisation& place = place_of(address);
  if (place.address.load(std::memory_order_relaxed) != address) return 0;
  return reinterpret_cast<std::uint64_t>(&place.owner) | AIOFIBER_OWNER_ID;
}

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
  // Runs on each way out, also for an exception of the routine.
  struct Wake {
    ~Wake() { wake_waiters(address); }
    const void* address;
  } const wake{control};
  if (once_is_done(control)) return real::pthread_once(control, routine);
  next_routine = {control, routine};
  return real::pthread_once(control, begin);
}

}  // extern "C"
