// SPDX-License-Identifier: Apache-2.0
//
// Checks how the loader has resolved the hooks' names: do the program and its libraries call the hooks?
//
// The constructor that loads the hooks runs the check once, usually before main() and before a second thread
// exists.
#pragma once

namespace aiofiber::hooks {

// Writes a line to stderr if another library's functions come before the hooks, or if the program's runtime
// is not the one that the hooks use. Silent if AIOFIBER_HOOKS_QUIET is set to anything but 0. Returns whether
// the program's tasks use these hooks: false if another copy comes first.
bool check_link_order();

}  // namespace aiofiber::hooks
