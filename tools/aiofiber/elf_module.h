// SPDX-License-Identifier: Apache-2.0
//
// One ELF file as the loader sees it: the libraries it needs, its imports and exports. Also the system calls
// that its code makes directly, as far as they can be recognised.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "call_sites.h"
#include "failure.h"
#include "module_uses.h"

namespace aiofiber::tool {

// Calls of syscall(2), grouped by number and operation.
struct NumberedCall {
  int number = -1;     // -1: not seen
  int operation = -1;  // for futex; -1: not seen
  auto operator<=>(const NumberedCall&) const = default;
};

struct ElfModule {
  std::string path;
  std::string soname;               // empty: none
  std::vector<std::string> needed;  // in the order of the file
  std::vector<std::string> rpath;   // ignored by the loader if there is a runpath
  std::vector<std::string> runpath;
  absl::btree_set<std::string> imports;               // undefined names, in the order of reports
  std::vector<ImportSlot> import_slots;               // of functions
  absl::flat_hash_map<int, int> direct_calls;         // number of a system call -> places
  absl::btree_map<NumberedCall, int> numbered_calls;  // -> places; empty if the code cannot be searched
  // With the runtime, and symbols: nothing but aiofiber's own code uses these.
  absl::flat_hash_set<std::string> own_imports;
  bool has_symbols = false;          // of its functions, so that own_imports is known
  bool has_asio = false;             // the event loop of Asio is in it
  bool has_grpc = false;             // it contains gRPC's core
  bool dynamic = false;              // false: fully static, nothing can come before its libc
  bool has_hooks = false;            // exports the names that all hooks export
  std::uint64_t stdio_state = 0;     // where the hooks store whether stdio suspends; 0: nowhere
  bool has_runtime = false;          // has the runtime's note
  std::uint64_t first_address = 0;   // the address that its first segment requests
  std::vector<std::string> exports;  // functions and variables
  ModuleUses uses;                   // of its variables; empty without symbols

  std::string name() const;  // the soname, else the file's name
};

// `shown`: the name of the file in errors: no such file, not readable, not ELF, of another word size, not a
// program or library, cut off. They are no exceptions, because a search for libraries tries many files.
absl::StatusOr<ElfModule> read_elf_module(const std::string& path, const std::string& shown);

// The same error as the end of the command: kPermission or kCore.
Failure failure_of(const absl::Status& status);

}  // namespace aiofiber::tool
