// SPDX-License-Identifier: Apache-2.0
//
// Whether this thread looks up names.
//
// It is asked by code that may run in the middle of a look-up, in a signal handler: one
// look-up inside another would wait for itself. The code then goes without names.
#pragma once

namespace aiofiber::runtime {

// Threads: any. Async-signal-safe.
bool this_thread_symbolizes() noexcept;

}  // namespace aiofiber::runtime
