// SPDX-License-Identifier: Apache-2.0
//
// Decides whether a hook acts, and has the code that all acting hooks share.
//
// A hook acts only in a task whose hooks are not disabled. Anywhere else (plain threads, the offload pool,
// the loop's own stack with libev's system calls, a forked child) it calls libc's function with the same
// arguments. The test is one load of a thread-local.
//
// Cancellation: a wait that was cut short is reported as ECANCELED, never thrown, because the frames above
// may be C. While the loop closes (Fiber::unwinding) hooks still act but never suspend: a call that would
// block fails with ECANCELED, so a destructor cannot hang the thread. There are two exceptions. Calls that
// must not be cut short block the thread (on_pool.h); event loops that accept only EINTR block up to 50 ms a
// call (readiness.cc).
#pragma once

#include <cerrno>
#include <new>
#include <system_error>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::hooks {

// Set if the hooks were made for another runtime (abi_match.h); then they must not touch its fibers. Set at
// load, before there is a fiber.
extern constinit bool stands_aside __attribute__((visibility("hidden")));

inline runtime::Fiber* act() noexcept {
  runtime::Fiber* fiber = runtime::current_fiber();
  return AIOFIBER_LIKELY(fiber == nullptr) || stands_aside || fiber->hooks_off != 0 ? nullptr : fiber;
}

// Fairness: a task whose calls are always ready would never suspend and would starve the others of its
// thread. After this many calls in a row without a suspension the next one lets the others run first. Calls
// that never wait count too (poll with timeout 0, MSG_DONTWAIT, WNOHANG, a try of a taken lock): a program
// that repeats them relies on others running meanwhile, as threads do.
inline constexpr unsigned kCallsBetweenTurns = 128;

// Hooked calls on this thread since one of them last suspended.
extern constinit thread_local unsigned calls_since_turn __attribute__((tls_model("initial-exec")));

// Suspends for one pass of the loop; errno is kept.
void give_turn();

// Counts a call that will act, and gives the other tasks a turn when it is due.
inline void take_part() {
  if (AIOFIBER_UNLIKELY(++calls_since_turn >= kCallsBetweenTurns)) give_turn();
}

// act(), counted: for every hook except write(). A signal handler may call write() (the self-pipe of an event
// library), so it gives no turn there.
inline bool acts() {
  if (AIOFIBER_LIKELY(act() == nullptr)) return false;
  take_part();
  return true;
}

// Runs fn(), which may suspend. Returns false with errno set if it threw: nothing may be thrown through the
// caller's frames, so runtime errors become error numbers.
template <class Fn>
bool without_throwing(Fn&& fn) {
  try {
    fn();
    return true;
  } catch (const std::system_error& error) {
    errno = error.code().value();
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
  } catch (const runtime::ForcedUnwind&) {
    errno = ECANCELED;  // the loop closes; the task's next await() throws it again
  }
  return false;
}

}  // namespace aiofiber::hooks
