// SPDX-License-Identifier: Apache-2.0
//
// AIOFIBER_ASSERT: an invariant of the runtime that is checked in every build, release included.
//
// A broken invariant of the scheduler means that a stack or a queue is already corrupt. The message goes to
// stderr and the process aborts, so that a core file shows the state at that moment.
// Errors of the *user* are never asserted: they are exceptions.
#pragma once

namespace aiofiber::runtime {

// Prints the expression and its place, then aborts. Async-signal-safe.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace aiofiber::runtime

#define AIOFIBER_ASSERT(expression)    \
  (__builtin_expect(!!(expression), 1) \
       ? void()                        \
       : ::aiofiber::runtime::assertion_failed(#expression, __FILE__, __LINE__))
