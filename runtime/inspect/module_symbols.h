// SPDX-License-Identifier: Apache-2.0
//
// The symbols of all loaded modules, from the session of libdw that symbolize.cc keeps.
//
// Full symbol tables, also from separate debug files; where there are none, only exported names. It tells
// what is there and chooses nothing: static_variable.cc does.
#pragma once

#include <cstdint>
#include <functional>

namespace aiofiber::runtime {

struct ModuleSymbol {
  const char* module;     // path of the executable or library
  const char* file;       // the source file of a local symbol; null: not known
  const char* name;       // as in the table: mangled, perhaps with a version (`optind@GLIBC_2.2.5`)
  std::uint64_t address;  // of a thread_local: its offset
  std::uint64_t bytes;
  unsigned char type;  // STT_OBJECT and so on
  bool local;          // not visible to other object files
};

// Calls visit() for each defined symbol; the pointers are valid during the call. Threads: any; visit() must
// not symbolize.
void for_each_module_symbol(const std::function<void(const ModuleSymbol&)>& visit);

}  // namespace aiofiber::runtime
