// SPDX-License-Identifier: Apache-2.0
//
// Where a module's separate debug information is: by build id and debug link, in the usual places.
//
// elfutils' own search is not used, since it asks the network when $DEBUGINFOD_URLS is set.
// The aiofiber command is built with this file too.
#pragma once

#include <elfutils/libdwfl.h>

#include <string>

namespace aiofiber::runtime {

// libdwfl's callback: opens the file with the module's debug information, or returns -1.
int find_debug_file(Dwfl_Module* module, void**, const char* name, Dwarf_Addr, const char* file,
                    const char* debug_link, GElf_Word, char** found);

// Looks first below this folder: the root of another mount namespace. Not for use by several threads.
void set_debug_root(const std::string& root);

}  // namespace aiofiber::runtime
