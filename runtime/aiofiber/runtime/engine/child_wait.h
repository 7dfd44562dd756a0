// SPDX-License-Identifier: Apache-2.0
//
// child_wait() suspends the current fiber until a child process has ended.
//
// A child has a descriptor that becomes readable when the child ends (pidfd_open(2), Linux 5.3). So the
// reactor needs no table of processes and no SIGCHLD handler, which the program may have itself.
#pragma once

#include <sys/types.h>

#include "aiofiber/runtime/engine/fd_wait.h"

namespace aiofiber::runtime {

// Suspends the current fiber until process `pid` has ended; then ready() of the result is true. Does not reap
// the child: the caller does, with waitpid(pid, &status, WNOHANG), which does not block then. `timeout` in
// ns, as for fd_wait(). Precondition: called on a fiber. Threads: the loop's; any number of fibers may wait
// for one child. Throws std::system_error: ESRCH (there is no such process, or it was reaped), EINVAL (pid <=
// 0), EMFILE, ENFILE, ENOSYS (Linux before 5.3), EPERM (a sandbox forbids it); std::bad_alloc.
FdWaitResult child_wait(pid_t pid, Nanoseconds timeout = kForever);

}  // namespace aiofiber::runtime
