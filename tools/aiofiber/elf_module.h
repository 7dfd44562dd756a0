// SPDX-License-Identifier: Apache-2.0
//
// What the loader would know of one ELF file: what it needs, imports and exports. And the system calls that
// its code makes without asking anybody, as far as they can be recognised.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "call_sites.h"

namespace aiofiber::tool {

// Calls of syscall(2) by what they ask for.
struct NumberedCall {
  int number = -1;     // -1: not seen
  int operation = -1;  // of futex; -1: not seen
  auto operator<=>(const NumberedCall&) const = default;
};

struct ElfModule {
  std::string path;
  std::string soname;               // empty: none
  std::vector<std::string> needed;  // in the order of the file
  std::vector<std::string> rpath;   // ignored by the loader where there is a runpath
  std::vector<std::string> runpath;
  std::set<std::string> imports;               // undefined names
  std::vector<ImportSlot> import_slots;        // of functions
  std::map<int, int> direct_calls;             // number of a system call -> places; x86-64 only
  std::map<NumberedCall, int> numbered_calls;  // -> places; empty where the code cannot be searched
  std::set<std::string>
      own_imports;           // with the runtime, and symbols: nothing but aiofiber's own code uses these
  bool has_symbols = false;  // of its functions, so that own_imports is known
  bool has_asio = false;     // the event loop of Asio is in it
  bool pauses_only_in_asio = false;  // pause() is called by Asio's own code alone, as its symbols tell
  bool has_grpc = false;             // gRPC's core is in it
  bool dynamic = false;              // false: fully static, nothing can come before its libc
  bool has_hooks = false;            // exports what all hooks export
  std::uint64_t stdio_state = 0;     // where the hooks say whether stdio suspends; 0: nowhere
  bool has_runtime = false;          // carries the runtime's note
  std::uint64_t first_address = 0;   // where its first segment wants to be

  std::string name() const;  // the soname, else the file's name
};

// `shown`: how to call the file in errors. Errors (kCore): no such file, not readable, not ELF, of another
// word size, neither a program nor a library, cut off.
ElfModule read_elf_module(const std::string& path, const std::string& shown);

}  // namespace aiofiber::tool
