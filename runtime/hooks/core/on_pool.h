// SPDX-License-Identifier: Apache-2.0
//
// on_pool(): a hooked call that only a thread can make runs on the offload pool while the task sleeps.
//
// A task that is already cancelled starts none: `failure` with ECANCELED. One that is cancelled meanwhile
// still gets the answer (the call's arguments are on its stack), and the cancellation at its next wait.
//
// on_pool_to_the_end(): what a file is given, which no signal cuts short in the kernel either. A database
// takes an fsync that failed for a failing disk. So a cancelled task makes that call too, and the
// cancellation comes at a wait that can fail. The pool's threads may be sent signals as any others, so what
// one of them cuts short (a copy, a reservation) is made again.
#pragma once

#include <cerrno>

#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/parker.h"
#include "hooks/core/act.h"
#include "hooks/core/uninterrupted.h"

namespace aiofiber::hooks {

// Calls call() on a thread of the pool and gives its result; errno is the call's if that is `failure`, else
// what it was. `failure` with errno ECANCELED, ENOMEM or EAGAIN (no thread) when it could not be made.
template <class R, class Call>
R on_pool(R failure, Call call, runtime::OffloadPool& pool = runtime::OffloadPool::io()) {
  const runtime::Fiber& fiber = *runtime::current_fiber();
  if (fiber.interrupted || fiber.unwinding) {
    // Refused as any wait is, so that who asks again and again is slowed down.
    without_throwing([] { runtime::Parker().park(AIOFIBER_WAIT_OFFLOAD, 0); });
    errno = ECANCELED;
    return failure;
  }
  const int errno_at_start = errno;
  calls_since_turn = 0;
  R result = failure;
  if (!without_throwing([&] { result = runtime::offload(call, pool); })) return failure;
  if (result != failure) errno = errno_at_start;
  return result;
}

// The same without a refusal. While the loop closes, and where the pool cannot take it, this thread makes the
// call. Once: for what must not be made twice.
template <class R, class Call>
R on_pool_to_the_end_once(R failure, Call call) {
  if (runtime::current_fiber()->unwinding) return call();
  const int errno_at_start = errno;
  calls_since_turn = 0;
  R result = failure;
  if (!without_throwing([&] { result = runtime::offload(call); })) {
    errno = errno_at_start;
    return call();
  }
  // Nor does every failure say why: readdir() ends with a null that is no error.
  if (result != failure || errno == 0) errno = errno_at_start;
  return result;
}

// The same, made again when a signal has cut it short.
template <class R, class Call>
R on_pool_to_the_end(R failure, Call call) {
  return on_pool_to_the_end_once(failure, [&] { return uninterrupted(failure, call); });
}

}  // namespace aiofiber::hooks
