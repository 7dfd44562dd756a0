// SPDX-License-Identifier: Apache-2.0
//
// Linux's data about this process: /proc/self/status and smaps_rollup.
#pragma once

#include <string_view>

namespace demo {

// The number after "name:" in /proc/self/status: "Threads", or in KiB "VmHWM". 0: not there.
long process_status(std::string_view name);

// Resident memory in KiB, counted page by page. (VmRSS adds counters of each CPU that are merged now and
// then, so it can be wrong by some hundred KiB.)
long resident_kib();

}  // namespace demo
