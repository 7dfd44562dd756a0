// SPDX-License-Identifier: Apache-2.0
//
// Which of the files that a target named libdw and libelf were kept from opening.
#pragma once

#include <string>
#include <vector>

namespace aiofiber::tool {

// Each once, in the order in which they were asked for; at most a few. Threads: one at a time.
const std::vector<std::string>& refused_files();

}  // namespace aiofiber::tool
