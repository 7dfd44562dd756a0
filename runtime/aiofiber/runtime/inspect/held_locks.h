// SPDX-License-Identifier: Apache-2.0
//
// Which locks of the C library a task has, noted while some loop is in debug mode, and the report of a task
// that suspends with one.
//
// To suspend with a lock is legal, and often meant: tasks that share a connection behind a mutex take turns.
// But all that want it wait as long as the suspension lasts; another task parks, while a plain thread or a
// callback of the loop blocks, and a callback of this very loop for ever. No type system and no test shows
// that, so debug mode does. Not reported: a wait for another lock (threads nest locks too; what becomes a
// ring is the deadlock report's), a condition variable's own mutex, which it releases, and a Lock of the
// facade, which is made to be held over an await.
//
// While it is off, a lock costs the look at one word. Nothing here allocates before there is something to
// report, because it may be an allocator's lock that is being noted.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::runtime::held_locks {

namespace detail {
extern constinit std::atomic<std::uint32_t> wanted;  // how often start() was called without a stop()
}
// The last `report` counts. Reports are made on the stack of the task concerned, with its hooks off. Threads:
// any.
using Report = void (*)(const std::string& text) noexcept;
void start(Report report) noexcept;
void stop() noexcept;

inline bool noting() noexcept {
  return AIOFIBER_UNLIKELY(detail::wanted.load(std::memory_order_relaxed) != 0);
}

// For the hooks: the current task has taken the lock, or released it. `what` is a literal, "mutex" say.
// Outside a task they do nothing. A lock for which there is no room is not noted (there is for some
// thousands). Async-signal-safe as far as unwind() is.
void note_taken(const void* lock, const char* what) noexcept;
void note_released(const void* lock) noexcept;

// For whoever suspends a task: it is about to wait for what its record says. Each place is reported once.
void report_suspension(Fiber& fiber) noexcept;
inline void check_suspension(Fiber& fiber) noexcept {
  if (AIOFIBER_UNLIKELY(fiber.locks_held != 0)) report_suspension(fiber);
}

}  // namespace aiofiber::runtime::held_locks
