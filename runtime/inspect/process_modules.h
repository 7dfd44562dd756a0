// SPDX-License-Identifier: Apache-2.0
//
// Reports the modules of a running process (executable, libraries) to libdwfl, from its list of mappings.
//
// libdwfl's own reader joins neighbouring mappings of a file into one module. But a program that has read its
// own symbols has whole files mapped (by libelf). If such a mapping lies right before the library, the module
// would begin too low, and all its addresses would be wrong. So a module here is what the loader makes of a
// file: mappings with rising offsets from the file's beginning, at least one of them executable. Used by the
// runtime for its own process, and by the aiofiber command for others.
#pragma once

#include <elfutils/libdwfl.h>
#include <sys/types.h>

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace aiofiber::runtime {

struct ProcessModule {
  std::string name;  // as in the list: a path, perhaps followed by " (deleted)"; "[vdso]"
  std::uint64_t low = 0, high = 0;
};

// Reads text in the format of /proc/PID/maps.
std::vector<ProcessModule> read_modules(std::istream& maps);

// Call it between dwfl_report_begin() and dwfl_report_end(). Returns 0, or the errno of reading the list.
int report_process_modules(Dwfl* dwfl, pid_t pid);

}  // namespace aiofiber::runtime
