// SPDX-License-Identifier: Apache-2.0
//
// on_pool() runs a hooked call that needs a thread on the offload pool while the task sleeps.
//
// A cancelled task starts no call: it gets `failure` with ECANCELED. If it is cancelled during the call, it
// still gets the answer (the call's arguments are on its stack), and the cancellation comes at its next wait.
//
// on_pool_to_the_end() is for writes to files, which no signal cuts short in the kernel either. A database
// takes a failed fsync for a failing disk. So a cancelled task makes that call too, and the cancellation
// comes at a wait that can fail. The pool's threads may get signals; a call that a signal interrupts (a copy,
// a reservation) is made again.
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <cstddef>

#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/task_values.h"
#include "hooks/core/act.h"
#include "hooks/core/uninterrupted.h"

namespace aiofiber::hooks {

// Whether an argument of the call points into a variable with a value per task. While the task sleeps, that
// memory holds the values of others, so the call is made by this thread, which it blocks. `call` is a lambda
// that has copies of the arguments.
template <class Call>
bool must_stay_here(const Call& call) noexcept {
  return runtime::watches(runtime::SwitchWatcher::kTaskValues) &&
         runtime::leads_to_task_variable(&call, sizeof call);
}

// The same for the memory of a read or write.
inline bool must_stay_here(const iovec* pieces, std::size_t count) noexcept {
  if (!runtime::watches(runtime::SwitchWatcher::kTaskValues)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    if (runtime::overlaps_task_variable(pieces[i].iov_base, pieces[i].iov_len)) return true;
  }
  return false;
}

// Calls call() on a thread of the pool and returns its result. errno is the call's if the result is
// `failure`, else unchanged. Returns `failure` with errno ECANCELED, ENOMEM or EAGAIN (no thread) if it could
// not be called.
template <class R, class Call>
R on_pool(R failure, Call call, runtime::OffloadPool& pool = runtime::OffloadPool::io()) {
  const runtime::Fiber& fiber = *runtime::current_fiber();
  if (fiber.interrupted || fiber.unwinding) {
    // Refused like any wait, so that a task that retries is slowed down.
    without_throwing([] { runtime::Parker().park(AIOFIBER_WAIT_OFFLOAD, 0); });
    errno = ECANCELED;
    return failure;
  }
  if (must_stay_here(call)) return call();
  const int errno_at_start = errno;
  calls_since_turn = 0;
  R result = failure;
  if (!without_throwing([&] { result = runtime::offload(call, pool); })) return failure;
  if (result != failure) errno = errno_at_start;
  return result;
}

// The same, but never refused. While the loop closes, and if the pool cannot take the call, this thread makes
// it. Once: for calls that must not be repeated.
template <class R, class Call>
R on_pool_to_the_end_once(R failure, Call call, runtime::OffloadPool& pool = runtime::OffloadPool::io()) {
  if (runtime::current_fiber()->unwinding || must_stay_here(call)) return call();
  const int errno_at_start = errno;
  calls_since_turn = 0;
  R result = failure;
  if (!without_throwing([&] { result = runtime::offload(call, pool); })) {
    errno = errno_at_start;
    return call();
  }
  // A failure may have no errno: at its end readdir() returns null, which is no error.
  if (result != failure || errno == 0) errno = errno_at_start;
  return result;
}

// The same, but repeats a call that a signal interrupted.
template <class R, class Call>
R on_pool_to_the_end(R failure, Call call) {
  if (must_stay_here(call)) return uninterrupted(failure, call);
  return on_pool_to_the_end_once(failure, [&] { return uninterrupted(failure, call); });
}

}  // namespace aiofiber::hooks
