// SPDX-License-Identifier: Apache-2.0
//
// The look at what the loader made of the hooks' names: are they what the program and its libraries call?
//
// Once, from the constructor that loads the hooks; as a rule before main() and before there is a second
// thread.
#pragma once

namespace aiofiber::hooks {

// Writes a line to stderr when another library's functions come before the hooks, or when the program's
// runtime is not the one that the hooks use. Silent when AIOFIBER_HOOKS_QUIET is set to anything but 0.
// Whether these hooks are those that the program's tasks meet: false when another copy comes first.
bool check_link_order();

}  // namespace aiofiber::hooks
