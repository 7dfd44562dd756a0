// SPDX-License-Identifier: Apache-2.0
//
// The system calls of the hooks that a signal may interrupt. The hooks use those with a timeout only to poll.
#include "interrupting_libc.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include <cstdio>
#include <cstring>

namespace aiofiber::hooks_test {

std::atomic<bool> interrupting = false;
std::atomic<int> interruptions = 0;

namespace {

bool interrupts(std::atomic<unsigned>& calls) noexcept {
  if (!interrupting || calls.fetch_add(1) % 2 != 0) return false;
  ++interruptions;
  errno = EINTR;
  return true;
}

}  // namespace

}  // namespace aiofiber::hooks_test

#define INTERRUPTED(result, name, parameters, arguments, ...)                                   \
  extern "C" result name parameters __VA_ARGS__ {                                               \
    static const auto next = reinterpret_cast<result(*) parameters>(::dlsym(RTLD_NEXT, #name)); \
    static std::atomic<unsigned> calls = 0;                                                     \
    if (aiofiber::hooks_test::interrupts(calls)) return -1;                                     \
    return next arguments;                                                                      \
  }

INTERRUPTED(int, poll, (pollfd * entries, nfds_t count, int timeout), (entries, count, timeout))
INTERRUPTED(int, ppoll, (pollfd * entries, nfds_t count, const timespec* timeout, const sigset_t* mask),
            (entries, count, timeout, mask))
INTERRUPTED(int, pselect,
            (int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
             const sigset_t* mask),
            (count, readable, writable, exceptional, timeout, mask))
INTERRUPTED(int, epoll_wait, (int epoll, epoll_event* events, int count, int timeout),
            (epoll, events, count, timeout))
INTERRUPTED(ssize_t, recvfrom,
            (int fd, void* data, size_t length, int flags, sockaddr* from, socklen_t* from_length),
            (fd, data, length, flags, from, from_length))
INTERRUPTED(ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags))
INTERRUPTED(ssize_t, sendto,
            (int fd, const void* data, size_t length, int flags, const sockaddr* to, socklen_t to_length),
            (fd, data, length, flags, to, to_length))
INTERRUPTED(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
INTERRUPTED(int, accept4, (int fd, sockaddr* address, socklen_t* length, int flags),
            (fd, address, length, flags))
INTERRUPTED(ssize_t, readv, (int fd, const iovec* pieces, int count), (fd, pieces, count))
INTERRUPTED(ssize_t, writev, (int fd, const iovec* pieces, int count), (fd, pieces, count))
INTERRUPTED(ssize_t, preadv2, (int fd, const iovec* pieces, int count, off_t position, int flags),
            (fd, pieces, count, position, flags))
INTERRUPTED(ssize_t, pwritev2, (int fd, const iovec* pieces, int count, off_t position, int flags),
            (fd, pieces, count, position, flags))
INTERRUPTED(ssize_t, sendfile, (int out, int in, off_t* position, size_t length), (out, in, position, length),
            noexcept)
INTERRUPTED(ssize_t, splice, (int in, off64_t* from, int out, off64_t* to, size_t length, unsigned flags),
            (in, from, out, to, length, flags))
INTERRUPTED(ssize_t, tee, (int in, int out, size_t length, unsigned flags), (in, out, length, flags))
INTERRUPTED(ssize_t, vmsplice, (int fd, const iovec* pieces, size_t count, unsigned flags),
            (fd, pieces, count, flags))
INTERRUPTED(ssize_t, copy_file_range,
            (int in, off64_t* from, int out, off64_t* to, size_t length, unsigned flags),
            (in, from, out, to, length, flags))
INTERRUPTED(int, fallocate, (int fd, int mode, off_t from, off_t length), (fd, mode, from, length))
INTERRUPTED(int, sync_file_range, (int fd, off64_t from, off64_t length, unsigned flags),
            (fd, from, length, flags))
INTERRUPTED(int, syncfs, (int fd), (fd), noexcept)
INTERRUPTED(int, flock, (int fd, int operation), (fd, operation), noexcept)
INTERRUPTED(int, lockf, (int fd, int command, off_t length), (fd, command, length))

extern "C" std::FILE* fopen(const char* path, const char* mode) {
  using Open = std::FILE* (*)(const char*, const char*);
  static const auto next = reinterpret_cast<Open>(::dlsym(RTLD_NEXT, "fopen"));
  static std::atomic<unsigned> calls = 0;
  if (aiofiber::hooks_test::interrupts(calls)) return nullptr;
  return next(path, mode);
}

// As libc it has chosen a name by then.
extern "C" int mkstemps(char* pattern, int suffix_length) {
  static const auto next = reinterpret_cast<int (*)(char*, int)>(::dlsym(RTLD_NEXT, "mkstemps"));
  static std::atomic<unsigned> calls = 0;
  if (!aiofiber::hooks_test::interrupts(calls)) return next(pattern, suffix_length);
  std::memcpy(pattern + std::strlen(pattern) - static_cast<std::size_t>(suffix_length) - 6, "chosen", 6);
  return -1;
}
