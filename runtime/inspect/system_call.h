// SPDX-License-Identifier: Apache-2.0
//
// The system calls in which a thread may be found blocked: their names, and what a signal does to them. A
// call that is not in the list is shown by its number.
//
// The runtime uses it for threads of its own process, and the aiofiber command for those of others. Header
// only.
#pragma once

#include <sys/syscall.h>

namespace aiofiber::runtime {

struct CallName {
  long number;
  const char* name;
  bool takes_fd;
  bool survives_signals;  // restarted after a handler with SA_RESTART: signal(7)
};
inline constexpr CallName kCalls[] = {
    {SYS_read, "read", true, true},
    {SYS_write, "write", true, true},
    {SYS_readv, "readv", true, true},
    {SYS_writev, "writev", true, true},
    {SYS_pread64, "pread", true, true},
    {SYS_pwrite64, "pwrite", true, true},
    {SYS_fsync, "fsync", true, true},
    {SYS_fdatasync, "fdatasync", true, true},
    {SYS_recvfrom, "recvfrom", true, true},
    {SYS_recvmsg, "recvmsg", true, true},
    {SYS_sendto, "sendto", true, true},
    {SYS_sendmsg, "sendmsg", true, true},
    {SYS_accept, "accept", true, true},
    {SYS_accept4, "accept4", true, true},
    {SYS_connect, "connect", true, true},
    {SYS_flock, "flock", true, true},
    {SYS_fcntl, "fcntl", true, true},
    {SYS_ioctl, "ioctl", true, false},
    {SYS_wait4, "wait4", false, true},
    {SYS_waitid, "waitid", false, true},
    {SYS_futex, "futex", false, true},
    {SYS_openat, "open", false, true},
    {SYS_nanosleep, "nanosleep", false, false},
    {SYS_clock_nanosleep, "clock_nanosleep", false, false},
    {SYS_ppoll, "ppoll", false, false},
    {SYS_pselect6, "pselect", false, false},
    {SYS_epoll_pwait, "epoll_wait", true, false},
// Later ports of Linux have only the newer forms of these calls.
#ifdef SYS_poll
    {SYS_poll, "poll", false, false},
#endif
#ifdef SYS_select
    {SYS_select, "select", false, false},
#endif
#ifdef SYS_epoll_wait
    {SYS_epoll_wait, "epoll_wait", true, false},
#endif
#ifdef SYS_open
    {SYS_open, "open", false, true},
#endif
#ifdef SYS_pause
    {SYS_pause, "pause", false, false},
#endif
};

inline const CallName* find_call(long number) noexcept {
  for (const CallName& call : kCalls) {
    if (call.number == number) return &call;
  }
  return nullptr;
}

}  // namespace aiofiber::runtime
