// SPDX-License-Identifier: Apache-2.0
//
// Tells a child of vfork(2) from its parent.
//
// Until it calls execve() or _exit(), such a child has the memory of its parent, thread-locals included. So
// it looks like the task, or the loop's callback, that called vfork. But its descriptors are its own: closing
// them ends no wait of the parent. And it must not suspend anything. Only its process id tells it apart.
#pragma once

namespace aiofiber::hooks {

// Whether the caller is such a child of a thread with a loop. A system call; without a running loop none.
// Async-signal-safe.
bool in_vforked_child() noexcept;

// Called once, when the hooks are loaded: from now on each fork(2) is noted.
void note_process_at_fork() noexcept;

}  // namespace aiofiber::hooks
