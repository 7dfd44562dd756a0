// SPDX-License-Identifier: Apache-2.0
//
// The seam for system calls on child processes: syscall.h for what the facade's subprocesses need.
//
// A child is known by its pidfd, which means this one process for ever, while a pid may be used again. The
// calls pass by the hooks, so none of them suspends a task. Each returns what libc's function returns: -1
// with errno. Source: the Linux pages of the same names.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime::sys {

// waitid(P_PIDFD) with WEXITED: reaps the one child. `options`: WNOHANG, or 0 to block the thread. The
// child's si_pid is 0 while it runs.
inline int reap(int pidfd, siginfo_t* info, int options) noexcept {
  if (injected("waitid")) return -1;
  constexpr int kPidfd = 3;  // P_PIDFD, which glibc has since 2.36
  return static_cast<int>(::syscall(SYS_waitid, kPidfd, pidfd, info, WEXITED | options, nullptr));
}
// pidfd_send_signal(2): ESRCH once the process was reaped, never a signal to another process.
inline int signal_process(int pidfd, int signo) noexcept {
  if (injected("pidfd_send_signal")) return -1;
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signo, nullptr, 0));
}
// Blocks the thread until the descriptor is readable, at most `milliseconds`. True: it is.
inline bool wait_readable(int fd, int milliseconds) noexcept {
  pollfd watched{fd, POLLIN, 0};
  const timespec limit{milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  return ::syscall(SYS_ppoll, &watched, 1, &limit, nullptr, 0) == 1;
}
// Close-on-exec.
inline int open(const char* path, int flags) noexcept {
  return injected("openat") ? -1
                            : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0));
}
// A copy of the descriptor with a number of at least `lowest`; close-on-exec.
inline int duplicate(int fd, int lowest) noexcept {
  return injected("fcntl") ? -1 : static_cast<int>(::syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest));
}
inline int set_nonblocking(int fd) noexcept {
  const long flags = ::syscall(SYS_fcntl, fd, F_GETFL);
  return flags < 0 ? -1 : static_cast<int>(::syscall(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK));
}
// mmap(2), anonymous, shared with a forked child.
inline void* map_shared(std::size_t bytes) noexcept {
  if (injected("mmap")) return MAP_FAILED;
  return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
// writev(2) that raises no SIGPIPE, only EPIPE. A SIGPIPE that was pending before stays so.
inline ssize_t write_without_signal(int fd, const iovec* pieces, int count) noexcept {
  if (injected("writev")) return -1;
  constexpr std::size_t kMaskBytes = 8;  // of the kernel's signal masks
  const std::uint64_t pipe_signal = std::uint64_t{1} << (SIGPIPE - 1);
  std::uint64_t before = 0, pending = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_signal, &before, kMaskBytes);
  if ((before & pipe_signal) != 0) ::syscall(SYS_rt_sigpending, &pending, kMaskBytes);
  const ssize_t written = ::syscall(SYS_writev, fd, pieces, count);
  const int error = errno;
  if (written < 0 && error == EPIPE && (pending & pipe_signal) == 0) {
    const timespec none{0, 0};
    ::syscall(SYS_rt_sigtimedwait, &pipe_signal, nullptr, &none, kMaskBytes);
  }
  if ((before & pipe_signal) == 0) ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kMaskBytes);
  errno = error;
  return written;
}

}  // namespace aiofiber::runtime::sys
