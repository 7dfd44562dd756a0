// SPDX-License-Identifier: Apache-2.0
//
// Dumps all tasks when a signal arrives, also while a loop hangs.
//
// The handler only wakes a helper thread. That thread takes the snapshot, symbolizes and writes. It runs no
// task and blocks all signals.
#pragma once

#include <string>

namespace aiofiber::runtime {

// After this call, `signo` makes the process write format_task_dump() to `fd`, which must stay open, or
// append it to the file. A second call for the same signal replaces the destination. `permissions` apply to a
// new file. Throws std::system_error: EINVAL if the signal cannot be caught; the error of opening the file,
// also for a symbolic link. A forked child has no dumps until it enables them itself. Threads: any.
void enable_task_dump(int signo, int fd);
void enable_task_dump(int signo, const std::string& path, unsigned permissions = 0600);

}  // namespace aiofiber::runtime
