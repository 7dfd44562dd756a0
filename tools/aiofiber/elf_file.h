// SPDX-License-Identifier: Apache-2.0
//
// An ELF file as long as an object: its descriptor, and libelf's view of it.
#pragma once

#include <fcntl.h>
#include <libelf.h>
#include <unistd.h>

#include <string>

namespace aiofiber::tool {

class ElfFile {
 public:
  // Never fails: fd() is negative (errno says why) or elf() null where there is nothing to be had.
  // O_NONBLOCK: of a pipe that nobody writes to, it is told that it is none.
  explicit ElfFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~ElfFile() {
    elf_end(elf_);
    if (fd_ >= 0) close(fd_);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  int fd() const { return fd_; }
  // Of what is no ELF file, elf_kind() is not ELF_K_ELF. Maps the file: only for what is known to be a regular one.
  Elf* elf() {
    if (elf_ == nullptr) {
      elf_version(EV_CURRENT);
      elf_ = elf_begin(fd_, ELF_C_READ_MMAP, nullptr);
    }
    return elf_;
  }

 private:
  const int fd_;
  Elf* elf_ = nullptr;
};

}  // namespace aiofiber::tool
