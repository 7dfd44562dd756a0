// SPDX-License-Identifier: Apache-2.0
//
// An ELF file as long as an object: its descriptor, and libelf's view of it.
#pragma once

#include <libelf.h>
#include <unistd.h>

#include <string>

#include "inspect/regular_file.h"

namespace aiofiber::tool {

class ElfFile {
 public:
  // Never fails: fd() is negative (errno says why, as of open_regular_file()) or elf() null where there is
  // nothing to be had.
  explicit ElfFile(const std::string& path) : fd_(runtime::open_regular_file(path)) {}
  ~ElfFile() {
    elf_end(elf_);
    if (fd_ >= 0) close(fd_);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  int fd() const { return fd_; }
  // Of what is no ELF file, elf_kind() is not ELF_K_ELF. Maps the file.
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
