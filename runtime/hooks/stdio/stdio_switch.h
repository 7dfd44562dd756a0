// SPDX-License-Identifier: Apache-2.0
//
// The switch by which stdio suspends tasks. It is thrown at most once in a process, is never thrown back, and
// stays off with a reason when libc is not as it must be.
//
// Threads: any. hooks.h has the call for programs, AIOFIBER_STDIO=1 is the same at load.
#pragma once

#include <atomic>

// 1: on; 0: never asked for; -1: refused. Read from outside by `aiofiber hooks --check PID`.
extern "C" int aiofiber_stdio_state;

// Null: it is on, now or since earlier. Else why it was refused, in a few words; stdio is as before then.
extern "C" const char* aiofiber_enable_stdio() noexcept;

namespace aiofiber::hooks {

namespace detail {
extern constinit std::atomic<bool> stdio_ending;
}

// The program is in exit(): nothing of stdio suspends any more, so that libc can write out its buffers.
inline bool stdio_is_ending() noexcept { return detail::stdio_ending.load(std::memory_order_relaxed); }

// As the environment says. One line on stderr when it was asked for and refused.
void enable_stdio_if_wanted() noexcept;

}  // namespace aiofiber::hooks
