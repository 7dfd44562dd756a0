// SPDX-License-Identifier: Apache-2.0
//
// Stack overflow: a SIGSEGV in a guard becomes a message that names the task, its stack size, its newest
// frames and the remedy; then the process dies of the SIGSEGV as it would have.
//
// The handler runs on an alternate stack, per thread that runs a loop. A fault that is not in the guard
// of a fiber goes to whatever handler was installed before.
#pragma once

namespace aiofiber::runtime {

// Installs the handler once per process and the alternate stack once per thread. Called by the scheduler.
void install_overflow_handler() noexcept;

}  // namespace aiofiber::runtime
