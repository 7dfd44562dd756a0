// SPDX-License-Identifier: Apache-2.0
//
// An open ELF file: its descriptor, and libelf's view of it.
#pragma once

#include <libelf.h>
#include <unistd.h>

#include <string>

#include "inspect/regular_file.h"

namespace aiofiber::tool {

class ElfFile {
 public:
  // Never fails. Without a file, fd() is negative (errno has the reason, as for open_regular_file()) or elf()
  // is null.
  explicit ElfFile(const std::string& path) : fd_(runtime::open_regular_file(path)) {}
  ~ElfFile() {
    elf_end(elf_);
    if (fd_ >= 0) close(fd_);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  int fd() const { return fd_; }
  // If it is no ELF file, elf_kind() is not ELF_K_ELF. Maps the file.
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
