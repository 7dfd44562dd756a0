// SPDX-License-Identifier: Apache-2.0
//
// Which probe of read() and write() to try first on a descriptor: a hint, one byte a descriptor.
//
// Hints are cleared where a descriptor is closed. One that is stale all the same (closed by libc
// internally, or by a raw system call) is found out by the kernel's answer: ENOTSOCK, EOPNOTSUPP, EAGAIN from
// what was taken for a file; a write to a "file" asks again first. Threads: any.
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
  kDirect,     // of these, opened with O_DIRECT: RWF_NOWAIT waits for the disk all the same
};

FdKind fd_kind(int fd) noexcept;  // the hint, else asks fstat(2); kUnknown: not open
void set_fd_kind(int fd, FdKind kind) noexcept;
FdKind classify_fd(int fd) noexcept;  // asks fstat(2) and stores the hint
// Its flags are about to change: O_DIRECT may be among them.
void flags_of_fd_change(int fd) noexcept;
// RWF_NOWAIT is not supported for this descriptor: what to do instead.
FdKind kind_without_nowait(int fd) noexcept;
// AIOFIBER_HOOKS_POLL_FIRST=1: behave as a kernel without RWF_NOWAIT (for tests).
bool poll_first_is_forced() noexcept;

}  // namespace aiofiber::hooks
