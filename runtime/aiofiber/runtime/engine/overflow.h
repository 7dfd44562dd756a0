// SPDX-License-Identifier: Apache-2.0
//
// Stack overflow: a SIGSEGV at or beyond the end of a fiber's stack prints a message with the task, its stack
// size, its newest frames and the remedy. Then the process dies of the SIGSEGV as usual.
//
// A frame that skips the whole guard is noticed only when it faults: its earlier writes to a neighbour's
// stack are not undone. Code compiled with -fstack-clash-protection skips nothing.
//
// The handler runs on an alternate stack, one per thread that runs a loop. Any other fault goes to the
// handler that was installed before.
#pragma once

namespace aiofiber::runtime {

// Installs the handler once per process and the alternate stack once per thread. Called by the scheduler.
void install_overflow_handler() noexcept;

}  // namespace aiofiber::runtime
