// SPDX-License-Identifier: Apache-2.0
//
// Opens a file to read whose name somebody else has chosen: debug information, a program that is looked at.
//
// Such a name may lead to a FIFO without a writer, which would hold the reader for ever, to /dev/zero, which
// never ends, or to /proc/kmsg, which calls itself a regular file and gives each line to one reader only. So
// it is looked at before it is opened for reading. Threads: any. The aiofiber command is built with this file
// too.
#pragma once

#include <cstdint>
#include <string>

namespace aiofiber::runtime {

// A descriptor to read from, close-on-exec; -1: errno says why. EINVAL: no regular file, or one of a file
// system that is no place for files (/proc, /sys). ENODATA: an empty one. EFBIG: more bytes than `most`.
// Symbolic links are followed, what they lead to is looked at. Never suspends: keep hooks off meanwhile
// (HooksOff).
int open_regular_file(const std::string& path, std::uint64_t most = UINT64_MAX) noexcept;
// The same, for libdw: it unpacks what is compressed, however much comes out. EINVAL also for what does not
// begin as an ELF file does.
int open_elf_file(const std::string& path) noexcept;

}  // namespace aiofiber::runtime
