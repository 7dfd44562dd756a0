// SPDX-License-Identifier: Apache-2.0
//
// A dump of all tasks when a signal comes, also while a loop hangs.
//
// The handler only wakes a thread, which does all the work: taking the snapshot, symbolizing, writing. The
// thread runs no task and blocks all signals.
#pragma once

#include <string>

namespace aiofiber::runtime {

// From now on `signo` makes the process write format_task_dump() to `fd`, which must stay open, or append it
// to the file. Again for the same signal: the new place. Throws std::system_error: EINVAL for a signal that
// cannot be caught; the error of opening the file, as when it is a symbolic link. `permissions`: of a file
// that is made. A forked child has no dumps until it enables them itself. Threads: any.
void enable_task_dump(int signo, int fd);
void enable_task_dump(int signo, const std::string& path, unsigned permissions = 0600);

}  // namespace aiofiber::runtime
