// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give to understand exception tables that clang wrote: a look at the code of a
// handler.
//
// clang has no "may not throw" in its tables: it catches everything and calls a helper that calls
// __cxa_begin_catch and std::terminate and does not return. A handler written by the user calls
// __cxa_begin_catch itself. Between the landing pad and either call there may be clean-ups (and, under
// AddressSanitizer, a call of its own). So the pad's code is searched for the call of a helper without a call
// of __cxa_begin_catch before it.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// Whether the code at `landing_pad`, a handler for everything, ends the program. `after_others`: handlers for
// certain types stand before it and call __cxa_begin_catch, so that order says nothing: a pad that calls a
// helper at all is taken for one that ends the program. False where that cannot be told. Threads: any.
bool is_terminating_landing_pad(std::uintptr_t landing_pad, bool after_others);

}  // namespace aiofiber::runtime
