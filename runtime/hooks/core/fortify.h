// SPDX-License-Identifier: Apache-2.0
//
// A program compiled with -D_FORTIFY_SOURCE (Debian's default) calls these names instead of read, recv, poll
// and so on when the compiler knows the size of the buffer. libc's headers declare them only for such
// programs. The hooks are compiled without the option, so the declarations are here.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <csignal>
#include <cstdarg>
#include <ctime>

extern "C" {
[[noreturn]] void __chk_fail() noexcept;  // libc: "buffer overflow detected"
ssize_t __read_chk(int fd, void* buffer, size_t length, size_t buffer_size);
ssize_t __recv_chk(int fd, void* buffer, size_t length, size_t buffer_size, int flags);
ssize_t __recvfrom_chk(int fd, void* buffer, size_t length, size_t buffer_size, int flags, sockaddr* address,
                       socklen_t* address_length);
ssize_t __pread_chk(int fd, void* buffer, size_t length, off_t position, size_t buffer_size);
ssize_t __pread64_chk(int fd, void* buffer, size_t length, off64_t position, size_t buffer_size);
ssize_t __readlink_chk(const char* path, char* buffer, size_t size, size_t buffer_size);
ssize_t __readlinkat_chk(int folder, const char* path, char* buffer, size_t size, size_t buffer_size);
char* __realpath_chk(const char* path, char* resolved, size_t resolved_size);
void __syslog_chk(int priority, int flag, const char* format, ...);
void __vsyslog_chk(int priority, int flag, const char* format, va_list arguments);
int __poll_chk(pollfd* entries, nfds_t count, int timeout_ms, size_t entries_size);
int __ppoll_chk(pollfd* entries, nfds_t count, const timespec* timeout, const sigset_t* mask,
                size_t entries_size);
}
