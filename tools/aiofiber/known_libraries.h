// SPDX-License-Identifier: Apache-2.0
//
// Facts about single libraries, by their name or their types, that their imports do not show: a call in them
// never waits for long, or tasks cannot use them as threads do.
#pragma once

#include <string>
#include <vector>

namespace aiofiber::tool {

struct ElfModule;

// Why `function`, which the module imports, does not block there; null: unknown.
const char* why_it_does_not_block(const ElfModule& module, const std::string& function, bool reads_files);

// A library that was recognised in the module: its name, and what happens in a task.
struct KnownUse {
  const char* name;
  const char* advice;
};
std::vector<KnownUse> known_uses(const ElfModule& module);

// Libraries that aiofiber itself uses. `imports`: the prefix of names that show that a program uses the
// library too; empty: this cannot be seen.
struct OwnLibrary {
  const char* name;
  const char* imports;
  bool is_opened = false;  // at run time, by aiofiber
};
const OwnLibrary* find_own_library(const std::string& library);

// aiofiber's own code calls it, on the loop's stack or for a report.
bool is_called_by_aiofiber(const std::string& function);

}  // namespace aiofiber::tool
