// SPDX-License-Identifier: Apache-2.0
//
// The file of a listening Unix socket. Source: the cleanup_socket of asyncio's loop.create_unix_server().
#include "streams/socket_file.h"

#include <absl/strings/str_cat.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "core/text.h"

namespace aiofiber::detail {

namespace sys = runtime::sys;

std::shared_ptr<SocketFile> SocketFile::of(std::string path) {
  struct stat status {};
  if (path.empty() || path.front() == '\0' || sys::path_status(path.c_str(), &status) != 0) return nullptr;
  return std::make_shared<SocketFile>(std::move(path), status.st_dev, status.st_ino);
}

SocketFile::SocketFile(std::string path, dev_t device, ino_t inode)
    : path_(std::move(path)), device_(device), inode_(inode), fork_generation_(runtime::fork_generation()) {}

SocketFile::~SocketFile() {
  if (fork_generation_ != runtime::fork_generation()) return;
  struct stat status {};
  if (sys::path_status(path_.c_str(), &status) == 0) {
    if (status.st_dev != device_ || status.st_ino != inode_ || sys::unlink(path_.c_str()) == 0) return;
  }
  const int error = errno;
  if (error == ENOENT) return;
  try {
    log(LogLevel::ERROR, absl::StrCat("Unable to clean up listening UNIX socket ", quote(path_), ": ",
                                      std::generic_category().message(error)));
  } catch (const std::exception&) {
    // No memory for the text. The next server at this path removes the file.
  }
}

}  // namespace aiofiber::detail
