// SPDX-License-Identifier: Apache-2.0
//
// Stack overflow: a SIGSEGV at or beyond the end of a fiber's stack becomes a message that names the task,
// its stack size, its newest frames and the remedy; then the process dies of the SIGSEGV as it would have.
//
// A frame that skips the whole guard is only noticed once it faults: what it wrote into a neighbour's stack
// before is not undone. Code that is compiled with -fstack-clash-protection skips nothing.
//
// The handler runs on an alternate stack, per thread that runs a loop. A fault that has nothing to do with
// the end of the running fiber's stack goes to whatever handler was installed before.
#pragma once

namespace aiofiber::runtime {

// Installs the handler once per process and the alternate stack once per thread. Called by the scheduler.
void install_overflow_handler() noexcept;

}  // namespace aiofiber::runtime
