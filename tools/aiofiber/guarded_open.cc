// SPDX-License-Identifier: Apache-2.0
//
// Restricts libdw and libelf to regular files that begin as ELF files do.
//
// A core names the files of its modules, in its notes and in the loader's list. libdwfl opens these names
// before it calls any callback. Such a name may be a FIFO without a writer, which would block the command for
// ever, or a device, or a compressed file, which these libraries would unpack without a limit. They call
// open(2) by its name, so this program's own open() replaces it. The command's own code always sets
// O_CLOEXEC, so its calls can be distinguished.
#include "guarded_open.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>

#include "inspect/regular_file.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kMostNamed = 16;

std::vector<std::string>& refused() {
  static auto* const files = new std::vector<std::string>;  // never destroyed: a destructor may open a file
  return *files;
}

void note_refusal(const std::string& path) {
  std::vector<std::string>& files = refused();
  if (files.size() < kMostNamed && std::find(files.begin(), files.end(), path) == files.end())
    files.push_back(path);
}

// -1 with errno; EINVAL for a file that must not be read.
int open_elf(const char* path) {
  const int fd = runtime::open_elf_file(path);
  if (fd < 0 && errno == EINVAL) {
    note_refusal(path);
    errno = EINVAL;
  }
  return fd;
}

int guarded_open(const char* path, int flags, mode_t mode) {
  const bool is_theirs = (flags & (O_ACCMODE | O_CLOEXEC)) == O_RDONLY;
  return is_theirs ? open_elf(path) : static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

mode_t mode_of(int flags, va_list arguments) {
  const bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return makes ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

const std::vector<std::string>& refused_files() { return refused(); }

}  // namespace aiofiber::tool

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = aiofiber::tool::mode_of(flags, arguments);
  va_end(arguments);
  return aiofiber::tool::guarded_open(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = aiofiber::tool::mode_of(flags, arguments);
  va_end(arguments);
  return aiofiber::tool::guarded_open(path, flags, mode);
}

}  // extern "C"
