// SPDX-License-Identifier: Apache-2.0
//
// The modules of a running process (executable, libraries), told to libdwfl, from its list of mappings.
//
// libdwfl's own reader takes neighbouring mappings of a file for one module. But a program that has looked at
// itself has whole files mapped for their symbols (libelf does so), and where such a mapping lies right
// before the library, that would seem to begin too low, and every address in it to be another. So a module is
// here what the loader makes of a file: mappings with rising offsets, from the file's beginning, of which at
// least one is executable. Used by the runtime for its own process, and by the aiofiber command for others.
#pragma once

#include <elfutils/libdwfl.h>
#include <sys/types.h>

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace aiofiber::runtime {

struct ProcessModule {
  std::string name;  // as the list has it: a path, perhaps with " (deleted)" behind; "[vdso]"
  std::uint64_t low = 0, high = 0;
};

// From text in the format of /proc/PID/maps.
std::vector<ProcessModule> read_modules(std::istream& maps);

// Reports them between dwfl_report_begin() and dwfl_report_end(). 0, or the errno of reading the list.
int report_process_modules(Dwfl* dwfl, pid_t pid);

}  // namespace aiofiber::runtime
