// SPDX-License-Identifier: Apache-2.0
//
// `aiofiber hooks --check PROGRAM|PID`: which calls in it would block the thread although the hooks are
// there.
//
// Unlike the other commands it needs no aiofiber in what it looks at: it is asked before a client is moved
// into tasks.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace aiofiber::tool {

// `words`: the command line behind `hooks`. Errors: kUsage, and those of check_program() and check_process().
void hooks(const std::vector<std::string>& words, std::ostream& out);

}  // namespace aiofiber::tool
