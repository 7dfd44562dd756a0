// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a child process: suspend the current fiber until it has ended.
//
// A child has a descriptor that becomes readable when it ends (pidfd_open(2), Linux 5.3), so the reactor
// needs nothing of its own for children: no SIGCHLD handler, which a program may have itself, and no table of
// processes.
#pragma once

#include <sys/types.h>

#include "aiofiber/runtime/engine/fd_wait.h"

namespace aiofiber::runtime {

// Suspends the current fiber until process `pid` has ended; ready() of the result says that it has. Does not
// reap it: that is the caller's, with waitpid(pid, &status, WNOHANG), which does not block then. `timeout` in
// ns, as for fd_wait(). Precondition: called on a fiber. Threads: the loop's; any number of fibers may wait
// for one child. Throws std::system_error: ESRCH (there is no such process, or it was reaped), EINVAL (pid <=
// 0), EMFILE, ENFILE; std::bad_alloc.
FdWaitResult child_wait(pid_t pid, Nanoseconds timeout = kForever);

}  // namespace aiofiber::runtime
