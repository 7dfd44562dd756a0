// SPDX-License-Identifier: Apache-2.0
//
// SocketFile: the file of a listening Unix socket, which goes with its last server.
//
// A server that was started at a path owns it; the servers of a group share it. A file that has taken the
// place of the server's own is left alone: another server listens there. Not for users. Threads: any, but one
// at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

namespace aiofiber::detail {

class SocketFile {
 public:
  // The file that a socket was bound to just now. Null: the path is an abstract name, or the file is gone.
  static std::shared_ptr<SocketFile> of(std::string path);

  SocketFile(std::string path, dev_t device, ino_t inode);
  // Removes the file, unless it is another one by now. A failure is logged. A forked child leaves the file to
  // its parent, which may still serve.
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

 private:
  const std::string path_;
  const dev_t device_;
  const ino_t inode_;
  const std::uint32_t fork_generation_;
};

}  // namespace aiofiber::detail
