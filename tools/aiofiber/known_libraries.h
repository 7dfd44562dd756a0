// SPDX-License-Identifier: Apache-2.0
//
// What is known of single libraries, by their name or their types, and cannot be seen in their imports: that
// a call in them never waits for long, or that they are written such that tasks cannot use them as threads
// do.
#pragma once

#include <string>
#include <vector>

namespace aiofiber::tool {

struct ElfModule;

// Why `function`, which the module imports, does not block there; null: not known.
const char* why_it_does_not_block(const ElfModule& module, const std::string& function, bool reads_files);

// How to call what is known by name in the module, and what happens in a task.
struct KnownUse {
  const char* name;
  const char* advice;
};
std::vector<KnownUse> known_uses(const ElfModule& module);

// Libraries that aiofiber itself is built on. `imports`: how the names begin by which one sees that a program
// uses the library for itself as well; empty: cannot be seen.
struct OwnLibrary {
  const char* name;
  const char* imports;
};
const OwnLibrary* find_own_library(const std::string& library);

// aiofiber's own code calls it, on the loop's stack or to report something.
bool is_called_by_aiofiber(const std::string& function);

}  // namespace aiofiber::tool
