// SPDX-License-Identifier: Apache-2.0
//
// The text of a source line, for the tracebacks inside the process and those of the aiofiber command.
//
// A source file is read at the path that the debug information gives. If the file has changed since it was
// compiled, the lines shown are wrong.
#pragma once

#include <string>

namespace aiofiber::runtime {

// The line (from 1) without surrounding blanks, safe for a terminal, at most 400 bytes; empty when it is not
// available. Reads only regular files of up to 4 MiB. Cached. Threads: any.
std::string source_line(const std::string& file, int line);

}  // namespace aiofiber::runtime
