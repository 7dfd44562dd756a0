// SPDX-License-Identifier: Apache-2.0
//
// No code is understood here: a handler for everything counts as one that catches, and a clean-up as one that
// goes on unwinding.
#include "arch/landing_pad.h"

namespace aiofiber::runtime {

bool is_terminating_landing_pad(std::uintptr_t, bool) { return false; }
bool is_terminating_cleanup(std::uintptr_t) { return false; }

}  // namespace aiofiber::runtime
