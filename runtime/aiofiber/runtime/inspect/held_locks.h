// SPDX-License-Identifier: Apache-2.0
//
// The C library locks that each task holds, noted while a loop is in debug mode; and the report of a task
// that suspends with a lock.
//
// This is legal, and often intended: tasks that share a connection behind a mutex take turns. But every other
// waiter waits as long as the suspension lasts. A task parks; a plain thread or a loop callback blocks; a
// callback of the same loop blocks for ever. No type system and no test shows this, so debug mode does. Not
// reported: a wait for another lock (threads nest locks too; the deadlock report finds cycles), a condition
// variable's mutex, which the wait releases, and the facade's Lock, which may be held over an await.
//
// While debug mode is off, a lock costs one read. Nothing here allocates before there is something to report,
// because the lock may be an allocator's.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::runtime::held_locks {

namespace detail {
extern constinit std::atomic<std::uint32_t> wanted;  // calls of start() without a stop()
}
// The last `report` is used. Reports are made on the stack of the task concerned, with its hooks off.
// Threads: any.
using Report = void (*)(const std::string& text) noexcept;
void start(Report report) noexcept;
void stop() noexcept;

inline bool noting() noexcept {
  return AIOFIBER_UNLIKELY(detail::wanted.load(std::memory_order_relaxed) != 0);
}

// For the hooks: the current task has taken or released the lock. `what` is a literal such as "mutex". They
// do nothing outside a task. A lock is not noted if there is no room (there is room for some thousands).
// Async-signal-safe if unwind() is.
void note_taken(const void* lock, const char* what) noexcept;
void note_released(const void* lock) noexcept;

// Notes locks from now on, without reports, until a stop(): for who asks list_held(). `taken` is called with
// each lock that a task takes, in that task.
void start_noting(void (*taken)(const void* lock, const char* what) noexcept) noexcept;
// Writes the locks that the task holds. Returns their number. Async-signal-safe.
std::size_t list_held(const Fiber& fiber, std::span<const void*> out) noexcept;

// Call it before a task is suspended; its record must say what it will wait for. Reports each place once.
void report_suspension(Fiber& fiber) noexcept;
inline void check_suspension(Fiber& fiber) noexcept {
  if (AIOFIBER_UNLIKELY(fiber.locks_held != 0)) report_suspension(fiber);
}

}  // namespace aiofiber::runtime::held_locks
