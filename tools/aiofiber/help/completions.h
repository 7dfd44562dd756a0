// SPDX-License-Identifier: Apache-2.0
//
// The completions of the command for bash, zsh and fish: scripts made from the table of the command line.
// After the name of the command they offer the options that it heeds, ids of processes, and files.
#pragma once

#include <string>

namespace aiofiber::tool {

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace aiofiber::tool
