// SPDX-License-Identifier: Apache-2.0
//
// Opens the output file of a report: a timeline, a dump.
//
// The name may come from outside (a variable, an option) and may be in a folder that others can write, such
// as /tmp. So it follows no symbolic link, empties only regular files, and does not wait for the reader of a
// FIFO. Stacks and names of tasks are private, so only the owner can read the file unless the caller says
// otherwise.
// Threads: any. The aiofiber command is built with this file too.
#pragma once

#include <string>

namespace aiofiber::runtime {

enum class OldContent { kReplace, kKeep };

inline constexpr unsigned kOwnerOnly = 0600;

// Returns a descriptor to write to, close-on-exec; -1: errno says why (ELOOP: a symbolic link; ENXIO: a FIFO
// without a reader). `permissions` are those of a new file, less the umask; an existing file keeps its own.
// With kKeep, output is appended. Never suspends: keep hooks off meanwhile (HooksOff).
int open_output_file(const std::string& path, OldContent old_content, unsigned permissions) noexcept;

// The meaning of errno for such a file.
std::string output_file_error(int error);

}  // namespace aiofiber::runtime
