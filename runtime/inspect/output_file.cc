// SPDX-License-Identifier: Apache-2.0
//
// The file is checked before it is emptied: open() with O_TRUNC would empty it before the check.
#include "inspect/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

namespace {

bool prepare(int fd, OldContent old_content) noexcept {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return false;
  if (old_content == OldContent::kReplace && S_ISREG(status.st_mode) && ::ftruncate(fd, 0) != 0) return false;
  // Opening must not wait; writing may.
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

}  // namespace

int open_output_file(const std::string& path, OldContent old_content, unsigned permissions) noexcept {
  const int where = old_content == OldContent::kKeep ? O_APPEND : 0;
  const int fd = ::open(
      path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | where, permissions);
  if (fd < 0 || prepare(fd, old_content)) return fd;
  const int error = errno;
  sys::close(fd);
  errno = error;
  return -1;
}

std::string output_file_error(int error) {
  if (error == ELOOP) return "it is a symbolic link, which is not followed";
  if (error == ENXIO) return "nobody reads from it";
  return std::generic_category().message(error);
}

}  // namespace aiofiber::runtime
