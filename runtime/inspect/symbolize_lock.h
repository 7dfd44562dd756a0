// SPDX-License-Identifier: Apache-2.0
//
// Whether this thread is in the middle of a look-up of names (symbolize.h).
//
// For a signal handler that wants names itself, as the report of a stack overflow does: the look-ups have one
// mutex, so one inside another would wait for ever.
#pragma once

namespace aiofiber::runtime {

// Threads: any. Async-signal-safe.
bool this_thread_symbolizes() noexcept;

}  // namespace aiofiber::runtime
