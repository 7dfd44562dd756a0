// SPDX-License-Identifier: Apache-2.0
//
// When a hook acts, and what every hook that acts has in common.
//
// A hook acts only in a task whose hooks are not disabled; anywhere else (plain threads, the offload
// pool, the loop's own stack with libev's system calls, a forked child) it calls libc's function with the
// arguments untouched. That test is one load of a thread-local.
//
// Cancellation: a wait that was cut short is reported as ECANCELED, never thrown, because the frames
// above may be C. While the loop closes (Fiber::unwinding) hooks still act but never suspend: what would
// block fails with ECANCELED, so that a destructor cannot hang the thread. But what has to be done to its end
// the thread does (on_pool.h), and event loops that know EINTR only block up to 50 ms a call (readiness.cc).
#pragma once

#include <cerrno>
#include <new>
#include <system_error>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::hooks {

// The runtime is not the one that these hooks were made for (abi_match.h), so its fibers are none of their
// business. Set at load, before there is a fiber.
extern constinit bool stands_aside __attribute__((visibility("hidden")));

inline runtime::Fiber* act() noexcept {
  runtime::Fiber* fiber = runtime::current_fiber();
  return AIOFIBER_LIKELY(fiber == nullptr) || stands_aside || fiber->hooks_off != 0 ? nullptr : fiber;
}

// Fairness: a task whose calls are always ready would never suspend and starve the others of its thread.
// After this many calls in a row without a suspension the next one lets the others run first. Calls that
// never wait count as well (poll with timeout 0, MSG_DONTWAIT, WNOHANG, a try of a lock that is taken): a
// program that waits by repeating them relies on the others running meanwhile, as threads do.
inline constexpr unsigned kCallsBetweenTurns = 128;

// Hooked calls on this thread since one of them last suspended.
extern constinit thread_local unsigned calls_since_turn __attribute__((tls_model("initial-exec")));

// Suspends for one pass of the loop; errno is kept.
void give_turn();

// Counts a call that is about to act, and gives others a turn when it is due.
inline void take_part() {
  if (AIOFIBER_UNLIKELY(++calls_since_turn >= kCallsBetweenTurns)) give_turn();
}

// act(), counted: for every hook but write(), which may be called from a signal handler (the self-pipe of an
// event library) and therefore gives no turn there.
inline bool acts() {
  if (AIOFIBER_LIKELY(act() == nullptr)) return false;
  take_part();
  return true;
}

// Runs fn(), which may suspend. False with errno set if it threw: runtime errors become error numbers
// here, because nothing may be thrown through the caller's frames.
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
    errno = ECANCELED;  // the loop closes; the task meets it again at its next await()
  }
  return false;
}

}  // namespace aiofiber::hooks
