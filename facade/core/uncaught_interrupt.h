// SPDX-License-Identifier: Apache-2.0
//
// Ends the program by SIGINT if a KeyboardInterrupt leaves main().
//
// So Ctrl-C ends the program as it ends one without signal handling. The calling shell or script sees an
// interruption and no crash.
#pragma once

namespace aiofiber::detail {

// From now on std::terminate() checks whether its cause is a KeyboardInterrupt. For any other cause it calls
// the previous handler. A handler that the program sets later replaces this one. A second call does nothing.
// Threads: any.
void end_by_signal_if_interrupted() noexcept;

}  // namespace aiofiber::detail
