// SPDX-License-Identifier: Apache-2.0
//
// The files of a target that libdw and libelf were not allowed to open.
#pragma once

#include <string>
#include <vector>

namespace aiofiber::tool {

// Each file once, in the order of the attempts; at most a few. Threads: one at a time.
const std::vector<std::string>& refused_files();

}  // namespace aiofiber::tool
