// SPDX-License-Identifier: Apache-2.0
//
// What Linux says about this process: /proc/self/status and smaps_rollup.
#pragma once

#include <string_view>

namespace demo {

// The number after "name:" in /proc/self/status: "Threads", or in KiB "VmHWM". 0: not there.
long process_status(std::string_view name);

// Resident memory in KiB, counted page by page. (VmRSS is a sum of counters of each CPU that are brought
// together now and then, so it can be off by some hundred KiB.)
long resident_kib();

}  // namespace demo
