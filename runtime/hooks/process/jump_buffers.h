// SPDX-License-Identifier: Apache-2.0
//
// Which task has filled which jmp_buf, and its content once another task has filled the same one.
//
// A jmp_buf in a static is one for all tasks. Each task's jump finds here what that task has put into it.
// Knows nothing of what a jump may do (jumps.cc).
#pragma once

#include <csetjmp>

namespace aiofiber::hooks {

// What the current task has put into the buffer: the buffer itself, or the content from before another task
// filled it. Threads: any. Async-signal-safe.
__jmp_buf_tag* jump_buffer_of_task(__jmp_buf_tag* buffer) noexcept;

}  // namespace aiofiber::hooks
