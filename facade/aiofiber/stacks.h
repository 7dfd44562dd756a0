// SPDX-License-Identifier: Apache-2.0
//
// Settings of the stacks on which tasks run: the size of the guard below each stack, and how long the memory
// of unused stacks is kept. They apply to the process, for loops that are made afterwards. Each task chooses
// the size of its own stack: create_task({.stack_size = bytes}, ...).
// Source: threading.stack_size() is Python's similar setting; asyncio has no stacks.
//
//     auto deep = [] {
//       char large[500'000];                   // more than the 256 KiB that a task has by default
//       std::fill(std::begin(large), std::end(large), 'x');
//       return large[499'999];
//     };
//     assert(asyncio::await(asyncio::create_task({.stack_size = 1 << 20}, deep)) == 'x');
//
// Wrong: large arrays on the stack of many tasks. The pages that were touched stay until the task ends.
#pragma once

#include <cstddef>

#include "aiofiber/duration.h"

namespace aiofiber {

// Bytes of inaccessible addresses below each stack, rounded up to whole pages: 64 KiB by default, 1 GiB at
// most. Code compiled without -fstack-clash-protection can step over the guard into another stack, but only
// with a frame larger than the guard. The guard costs addresses. With MADV_GUARD_INSTALL (Linux 6.13) it also
// costs 8 bytes of page tables for each 4 KiB. Threads: any. Errors: ValueError below 64 KiB and above 1 GiB.
void set_stack_guard_size(std::size_t bytes);
// What set_stack_guard_size() set, in bytes. Threads: any.
std::size_t stack_guard_size() noexcept;

// How long a loop keeps the memory of an unused stack: 10 s by default. If a new wave of tasks comes sooner,
// it finds its stacks in memory. Zero or less: until the loop next polls.
// Duration::max(): for ever. The loop returns the memory in bounded steps while it runs, also when it would
// sleep. On a virtual clock it does so only in passes that happen anyway. Threads: any.
void set_stack_idle_time(Duration time) noexcept;
// What set_stack_idle_time() set. Threads: any.
Duration stack_idle_time() noexcept;

}  // namespace aiofiber
