// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give to understand what exception tables do not show: checks of the code that
// runs when an exception arrives.
//
// clang's tables have no "may not throw". Instead, a handler catches everything and calls a helper; the
// helper calls __cxa_begin_catch and std::terminate and does not return. A handler written by the user calls
// __cxa_begin_catch itself. Cleanups may come between the landing pad and either call (and a call by
// AddressSanitizer). So the check searches the pad's code for a call of a helper without an earlier call of
// __cxa_begin_catch.
//
// g++ writes a clean-up into a noexcept function's frame if a variable with a destructor is in between, above
// all without optimisation. It looks like any other in the table, but its code ends in a call of
// std::terminate (g++ 13 and later: __cxa_call_terminate), not of _Unwind_Resume.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// Whether the code at `landing_pad`, a handler for everything, ends the program. `after_others`: handlers for
// certain types come before it. They call __cxa_begin_catch, so the order says nothing: a pad that calls a
// helper at all counts as one that ends the program. False if it is not known. Threads: any.
bool is_terminating_landing_pad(std::uintptr_t landing_pad, bool after_others);
// Whether the code at `landing_pad`, a clean-up, ends the program on each way through it. False if it is not
// known. Threads: any. Some microseconds.
bool is_terminating_cleanup(std::uintptr_t landing_pad);

}  // namespace aiofiber::runtime
