// SPDX-License-Identifier: Apache-2.0
//
// Makes stdio suspend tasks. A process switches at most once and never back. If libc is not as expected, the
// switch stays off, with a reason.
//
// Threads: any. Programs call it by hooks.h; AIOFIBER_STDIO=1 does the same at load.
#pragma once

#include <atomic>

// 1: on; 0: never asked for; -1: refused. Read from outside by `aiofiber hooks --check PID`.
extern "C" int aiofiber_stdio_state;

// Null: the switch is on, now or since earlier. Else the reason of the refusal, in a few words; stdio is
// unchanged then.
extern "C" const char* aiofiber_enable_stdio() noexcept;

namespace aiofiber::hooks {

namespace detail {
extern constinit std::atomic<bool> stdio_ending;
}

// The program is in exit(): stdio no longer suspends, so that libc can write out its buffers.
inline bool stdio_is_ending() noexcept { return detail::stdio_ending.load(std::memory_order_relaxed); }

// Follows the environment. Writes one line to stderr if the switch was requested and refused.
void enable_stdio_if_wanted() noexcept;

}  // namespace aiofiber::hooks
