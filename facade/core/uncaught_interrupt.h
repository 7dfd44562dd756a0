// SPDX-License-Identifier: Apache-2.0
//
// Ends a program that nobody kept from ending: a KeyboardInterrupt that leaves main() ends it by SIGINT.
//
// So Ctrl-C ends it as it ends a program that knows nothing of signals, and the shell or the script above
// sees an interruption and no crash.
#pragma once

namespace aiofiber::detail {

// From now on std::terminate() looks whether it was called for a KeyboardInterrupt; anything else goes to the
// handler that was there before. A handler that the program sets later is the program's. Again: no-op.
// Threads: any.
void end_by_signal_if_interrupted() noexcept;

}  // namespace aiofiber::detail
