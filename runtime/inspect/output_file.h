// SPDX-License-Identifier: Apache-2.0
//
// Opens the file that a report is written to: a timeline, a dump.
//
// The name may come from elsewhere (a variable, an option) and lie in a folder where others may write, such
// as /tmp. So a symbolic link is not followed, nothing but a regular file is ever emptied, nobody waits for
// the reader of a FIFO, and what a stack or a task's name tells is for the owner's eyes unless the caller
// says otherwise. Threads: any. The aiofiber command is built with this file too.
#pragma once

#include <string>

namespace aiofiber::runtime {

enum class OldContent { kReplace, kKeep };

inline constexpr unsigned kOwnerOnly = 0600;

// A descriptor to write to, close-on-exec; -1: errno says why (ELOOP: a symbolic link; ENXIO: a FIFO that
// nobody reads). `permissions` are those of a file that is made, less the umask; a file that is there keeps
// its own. With kKeep, what is written goes to the end. Never suspends: keep hooks off meanwhile (HooksOff).
int open_output_file(const std::string& path, OldContent old_content, unsigned permissions) noexcept;

// What errno means for such a file.
std::string output_file_error(int error);

}  // namespace aiofiber::runtime
