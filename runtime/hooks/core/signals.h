// SPDX-License-Identifier: Apache-2.0
//
// Whether this thread runs a signal handler. Then hooks are off, because a handler must not be suspended in
// the middle of the interrupted code.
// Knows only handlers that were installed through the hooked sigaction() and signal().
#pragma once

namespace aiofiber::hooks {

// The number of nested handlers that run on this thread.
extern constinit thread_local int signal_depth __attribute__((tls_model("initial-exec")));
inline bool in_signal_handler() noexcept { return signal_depth != 0; }

}  // namespace aiofiber::hooks
