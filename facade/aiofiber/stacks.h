// SPDX-License-Identifier: Apache-2.0
//
// Settings of the stacks on which tasks run: how large the guard below each is, and how long the memory of
// stacks that no task has any more is kept. They are the process's, and hold for the loops that are made
// from then on. The size of a stack is each task's own: create_task({.stack_size = bytes}, ...).
// Source: threading.stack_size() is Python's setting of the kind; asyncio has no stacks.
#pragma once

#include <cstddef>

#include "aiofiber/duration.h"

namespace aiofiber {

// Bytes of inaccessible addresses below each stack, rounded up to whole pages: 64 KiB unless set, 1 GiB at
// most. Code that was compiled without -fstack-clash-protection runs on in a neighbour's stack only with a
// frame that is larger. Costs addresses, and with MADV_GUARD_INSTALL (Linux 6.13) 8 bytes of page tables for
// each 4 KiB. Threads: any. Errors: ValueError below 64 KiB and above 1 GiB.
void set_stack_guard_size(std::size_t bytes);
std::size_t stack_guard_size() noexcept;

// How long a loop keeps the memory of a stack that nobody has: 10 s unless set. Tasks that come in waves find
// their stacks in memory when the next wave comes sooner. Zero or less: until the loop next polls.
// Duration::max(): for good. The loop gives back while it runs, also when it would sleep, a bounded piece at
// a time; on a virtual clock in the passes that it makes anyway. Threads: any.
void set_stack_idle_time(Duration time) noexcept;
Duration stack_idle_time() noexcept;

}  // namespace aiofiber
