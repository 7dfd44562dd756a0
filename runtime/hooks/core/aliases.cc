// SPDX-License-Identifier: Apache-2.0
//
// Aliases under which libc exports some of the calls; old binaries and a few libraries import them.
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern "C" {

ssize_t __read(int fd, void* buffer, size_t length) { return read(fd, buffer, length); }
ssize_t __write(int fd, const void* data, size_t length) { return write(fd, data, length); }
int __close(int fd) { return close(fd); }
int __poll(pollfd* entries, nfds_t count, int timeout_ms) { return poll(entries, count, timeout_ms); }
int __select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
  return select(count, readable, writable, exceptional, timeout);
}
int __connect(int fd, const sockaddr* address, socklen_t length) { return connect(fd, address, length); }
ssize_t __send(int fd, const void* data, size_t length, int flags) { return send(fd, data, length, flags); }
int __nanosleep(const timespec* duration, timespec* remaining) { return nanosleep(duration, remaining); }

}  // extern "C"
