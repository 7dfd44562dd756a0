// SPDX-License-Identifier: Apache-2.0
//
// `aiofiber hooks --check PROGRAM|PID`: the calls that would block the thread despite the hooks.
//
// Unlike the other commands it needs no aiofiber in its subject: users run it before they move a client into
// tasks.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace aiofiber::tool {

// `words`: the command line after `hooks`. Errors: kUsage, and those of check_program() and check_process().
void hooks(const std::vector<std::string>& words, std::ostream& out);

}  // namespace aiofiber::tool
