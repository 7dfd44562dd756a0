// SPDX-License-Identifier: Apache-2.0
//
// Opens a file for reading whose name was chosen by others: debug information, an inspected program.
//
// Such a name may lead to a FIFO without a writer, which blocks the reader for ever; to /dev/zero, which
// never ends; or to /proc/kmsg, which claims to be a regular file and gives each line to one reader only. So
// the file is checked before it is opened for reading. Threads: any. The aiofiber command is built with this
// file too.
#pragma once

#include <cstdint>
#include <string>

namespace aiofiber::runtime {

// Returns a descriptor for reading, close-on-exec; -1: errno says why. EINVAL: no regular file, or one in a
// file system without real files (/proc, /sys). ENODATA: it is empty. EFBIG: more bytes than `most`. Follows
// symbolic links and checks the target. Never suspends: keep hooks off meanwhile (HooksOff).
int open_regular_file(const std::string& path, std::uint64_t most = UINT64_MAX) noexcept;
// The same for libdw, which unpacks compressed files without a limit. EINVAL also for a file that does not
// begin as an ELF file.
int open_elf_file(const std::string& path) noexcept;

}  // namespace aiofiber::runtime
