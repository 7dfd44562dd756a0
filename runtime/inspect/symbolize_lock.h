// SPDX-License-Identifier: Apache-2.0
//
// Whether this thread looks up names. For code that runs in the middle of it, in a signal handler: one
// look-up inside another would wait for itself.
#pragma once

namespace aiofiber::runtime {

// Threads: any. Async-signal-safe.
bool this_thread_symbolizes() noexcept;

}  // namespace aiofiber::runtime
