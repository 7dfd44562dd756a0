// SPDX-License-Identifier: Apache-2.0
//
// The text of a line of source, for tracebacks: those inside the process and those of the aiofiber command.
//
// Source files are looked for where the debug information says that the compiler read them. A file that
// changed since shows other lines than those that were compiled.
#pragma once

#include <string>

namespace aiofiber::runtime {

// The line (from 1), without surrounding blanks, fit for a terminal, its first 400 bytes; empty when it is
// not available: only regular files of up to 4 MiB are read. Cached. Threads: any.
std::string source_line(const std::string& file, int line);

}  // namespace aiofiber::runtime
