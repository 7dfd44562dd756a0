// SPDX-License-Identifier: Apache-2.0
//
// From a program to its libraries, in the order and the places in which the loader looks: see ld.so(8).
//
// What it does not know: LD_PRELOAD and /etc/ld.so.preload, hardware capabilities below the library
// directories, and what dlopen() will open. A process is the surer thing to look at.
#pragma once

#include <string>
#include <vector>

#include "elf_module.h"

namespace aiofiber::tool {

struct Closure {
  std::vector<ElfModule> modules;    // the program first, then breadth first: the order of the symbol lookup
  std::vector<std::string> missing;  // what is needed and was not found
};

// LD_LIBRARY_PATH of the calling process counts, as it would for the program. Errors: those of
// read_elf_module() for the program itself; a library that cannot be read counts as missing.
Closure find_libraries(const std::string& program);

}  // namespace aiofiber::tool
