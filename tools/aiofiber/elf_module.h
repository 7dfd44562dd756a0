// SPDX-License-Identifier: Apache-2.0
//
// What the loader would know of one ELF file: what it needs, imports and exports. And the system calls that
// its code makes without asking anybody, as far as they can be recognised.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace aiofiber::tool {

// A place that the loader fills with the address of an imported function.
struct ImportSlot {
  std::uint64_t address = 0;  // before the module's load bias is added
  std::string name;
};

struct ElfModule {
  std::string path;
  std::string soname;               // empty: none
  std::vector<std::string> needed;  // in the order of the file
  std::vector<std::string> rpath;   // ignored by the loader where there is a runpath
  std::vector<std::string> runpath;
  std::set<std::string> imports;         // undefined names
  std::vector<ImportSlot> import_slots;  // of functions
  std::map<int, int> direct_calls;       // number of a system call -> places; x86-64 only
  bool dynamic = false;                  // false: fully static, nothing can come before its libc
  bool has_hooks = false;                // exports what all hooks export
  std::uint64_t stdio_state = 0;         // where the hooks say whether stdio suspends; 0: nowhere
  bool has_runtime = false;              // carries the runtime's note
  std::uint64_t first_address = 0;       // where its first segment wants to be

  std::string name() const;  // the soname, else the file's name
};

// `shown`: how to call the file in errors. Errors (kCore): no such file, not readable, not ELF, of another
// word size, neither a program nor a library, cut off.
ElfModule read_elf_module(const std::string& path, const std::string& shown);

}  // namespace aiofiber::tool
