// SPDX-License-Identifier: Apache-2.0
//
// Which probe read() and write() try first on a descriptor: a hint, one byte per descriptor.
//
// Closing a descriptor clears its hint. If libc or a raw system call closed it, the hint is stale, and the
// kernel's answer shows that: ENOTSOCK, EOPNOTSUPP, or EAGAIN from a supposed file. A write to a "file" asks
// again first. Threads: any.
#pragma once

#include <cstdint>

namespace aiofiber::hooks {

enum class FdKind : std::uint8_t {
  kUnknown,    // not asked yet
  kSocket,     // MSG_DONTWAIT
  kNowait,     // RWF_NOWAIT: pipes, eventfd, timerfd on recent kernels
  kPipe,       // a pipe whose kernel has no RWF_NOWAIT for it: poll, then at most PIPE_BUF bytes
  kPollFirst,  // no flag at all (terminals, inotify, ...): poll, then the plain call
  kFile,       // regular files, directories, block devices: never EAGAIN from poll's point of view
  kDirect,     // files opened with O_DIRECT: RWF_NOWAIT waits for the disk anyway
};

FdKind fd_kind(int fd) noexcept;  // the hint, else asks fstat(2); kUnknown: not open
void set_fd_kind(int fd, FdKind kind) noexcept;
FdKind classify_fd(int fd) noexcept;  // asks fstat(2) and stores the hint
// Call it before the flags change: O_DIRECT may be among them.
void flags_of_fd_change(int fd) noexcept;
// RWF_NOWAIT is not supported for this descriptor: returns the next probe to try.
FdKind kind_without_nowait(int fd) noexcept;
// AIOFIBER_HOOKS_POLL_FIRST=1: behave as a kernel without RWF_NOWAIT (for tests).
bool poll_first_is_forced() noexcept;

}  // namespace aiofiber::hooks
