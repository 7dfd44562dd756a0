// SPDX-License-Identifier: Apache-2.0
//
// From a program to its libraries, in the loader's order and search path: see ld.so(8).
//
// Not considered: LD_PRELOAD and /etc/ld.so.preload, hardware capabilities below the library directories, and
// later calls of dlopen(). The check of a running process is more certain.
#pragma once

#include <string>
#include <vector>

#include "elf_module.h"

namespace aiofiber::tool {

struct Closure {
  std::vector<ElfModule> modules;    // the program first, then breadth first: the order of the symbol lookup
  std::vector<std::string> missing;  // needed and not found
};

// LD_LIBRARY_PATH of the calling process counts, as it would for the program. Errors: those of
// read_elf_module() for the program itself; a library that cannot be read counts as missing.
Closure find_libraries(const std::string& program);

}  // namespace aiofiber::tool
