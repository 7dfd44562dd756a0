// SPDX-License-Identifier: Apache-2.0
//
// What Linux says about this process: /proc/self/status.
#pragma once

#include <string_view>

namespace demo {

// The number after "name:" in /proc/self/status: "Threads", or in KiB "VmRSS" and "VmHWM". 0: not there.
long process_status(std::string_view name);

}  // namespace demo
