// SPDX-License-Identifier: Apache-2.0
//
// Whether this thread runs a signal handler: there hooks stand aside, as a handler must not be suspended in
// the middle of whatever it interrupted.
// Known only of handlers that were installed through the hooked sigaction() and signal().
#pragma once

namespace aiofiber::hooks {

// Handlers that run on this thread, one inside the other.
extern constinit thread_local int signal_depth __attribute__((tls_model("initial-exec")));
inline bool in_signal_handler() noexcept { return signal_depth != 0; }

}  // namespace aiofiber::hooks
