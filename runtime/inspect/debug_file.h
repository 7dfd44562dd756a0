// SPDX-License-Identifier: Apache-2.0
//
// Finds a module's build id and its separate debug information: by build id and debug link, in the usual
// places.
//
// elfutils' own search is not used, because it uses the network when $DEBUGINFOD_URLS is set. The aiofiber
// command is built with this file too.
#pragma once

#include <elfutils/libdwfl.h>

#include <string>

namespace aiofiber::runtime {

// libdwfl's callback: opens the file with the module's debug information, or returns -1.
int find_debug_file(Dwfl_Module* module, void**, const char* name, Dwarf_Addr, const char* file,
                    const char* debug_link, GElf_Word, char** found);

// The module's build id in hexadecimal digits; files of separate debug information are named after it. Empty:
// none.
std::string build_id(Dwfl_Module* module);

// Searches this folder first: the root of another mount namespace. Not for use by several threads.
void set_debug_root(const std::string& root);

}  // namespace aiofiber::runtime
