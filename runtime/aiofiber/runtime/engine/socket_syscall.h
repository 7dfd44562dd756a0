// SPDX-License-Identifier: Apache-2.0
//
// The seam for system calls on sockets and pipes: syscall.h for what the facade's streams and servers need.
//
// The facade calls them on descriptors that do not block, on the loop's stack and in tasks. They pass by the
// hooks, which would look at each descriptor first. Each returns what libc's function returns: -1 with errno.
// On a simulated machine they ask its network (network.h).
// Source: the POSIX pages of the same names.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime::sys {

// Close-on-exec, and not blocking.
inline int socket(int family, int type, int protocol) noexcept {
  if (injected("socket")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr))
    return current_network->socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  return static_cast<int>(::syscall(SYS_socket, family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}
inline int socket_pair(int family, int type, int protocol, int (&fds)[2]) noexcept {
  if (injected("socketpair")) return -1;
  return static_cast<int>(
      ::syscall(SYS_socketpair, family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol, fds));
}
inline int pipe(int (&ends)[2], int flags) noexcept {
  return injected("pipe2") ? -1 : static_cast<int>(::syscall(SYS_pipe2, ends, flags));
}
inline int connect(int fd, const sockaddr* address, socklen_t length) noexcept {
  if (injected("connect")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) return current_network->connect(fd, address, length);
  if (is_unreachable("connect", address, length)) return -1;
  return static_cast<int>(::syscall(SYS_connect, fd, address, length));
}
inline int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  if (injected("bind")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) return current_network->bind(fd, address, length);
  if (is_unreachable("bind", address, length)) return -1;
  return static_cast<int>(::syscall(SYS_bind, fd, address, length));
}
inline int listen(int fd, int backlog) noexcept {
  if (injected("listen")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) return current_network->listen(fd, backlog);
  return static_cast<int>(::syscall(SYS_listen, fd, backlog));
}
// Close-on-exec, and not blocking.
inline int accept(int fd, sockaddr* address, socklen_t* length) noexcept {
  if (injected("accept4")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr))
    return current_network->accept(fd, address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return static_cast<int>(::syscall(SYS_accept4, fd, address, length, SOCK_CLOEXEC | SOCK_NONBLOCK));
}
inline int shut_down(int fd, int how) noexcept {
  if (injected("shutdown")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) return current_network->shut_down(fd, how);
  return static_cast<int>(::syscall(SYS_shutdown, fd, how));
}
inline ssize_t receive(int fd, void* into, std::size_t bytes, int flags, sockaddr* address = nullptr,
                       socklen_t* length = nullptr) noexcept {
  if (injected("recvfrom")) return -1;
  const ssize_t got = receive_datagram_or(fd, flags, address, length, [&]() noexcept -> ssize_t {
    return ::syscall(SYS_recvfrom, fd, into, bytes, flags, address, length);
  });
  return transfer_result(fd, got);
}
// Never SIGPIPE.
inline ssize_t send(int fd, const void* data, std::size_t bytes, int flags = 0,
                    const sockaddr* address = nullptr, socklen_t length = 0) noexcept {
  if (injected("sendto")) return -1;
  ssize_t sent;
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) {
    iovec piece;
    if (network_sends_at_once(fd, as_message(piece, data, bytes, address, length), flags, sent)) return sent;
  }
  if (is_unreachable("sendto", address, length)) return -1;
  return transfer_result(fd, ::syscall(SYS_sendto, fd, data, bytes, flags | MSG_NOSIGNAL, address, length));
}
inline ssize_t send_message(int fd, const msghdr* message, int flags = 0) noexcept {
  if (injected("sendmsg")) return -1;
  ssize_t sent;
  if (message != nullptr && network_sends_at_once(fd, *message, flags, sent)) return sent;
  if (is_unreachable("sendmsg", message)) return -1;
  return ::syscall(SYS_sendmsg, fd, message, flags | MSG_NOSIGNAL);
}
inline ssize_t read(int fd, void* into, std::size_t bytes) noexcept {
  return injected("read") ? -1 : ::syscall(SYS_read, fd, into, bytes);
}
// SIGPIPE, unless the program ignores it (as Python does) or it is called in without_sigpipe().
inline ssize_t write_pieces(int fd, const iovec* pieces, int count) noexcept {
  return injected("writev") ? -1 : ::syscall(SYS_writev, fd, pieces, count);
}
// Makes a call that would raise SIGPIPE where the other side is gone, and raises none: only EPIPE.
template <class Call>
ssize_t without_sigpipe(Call call) noexcept {
  constexpr std::size_t kSetBytes = 8;  // of the kernel's sigset_t
  const std::uint64_t sigpipe = std::uint64_t{1} << (SIGPIPE - 1);
  std::uint64_t before = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_BLOCK, &sigpipe, &before, kSetBytes);
  const ssize_t done = call();
  const int error = errno;
  if ((before & sigpipe) == 0) {
    // A thread gets its own SIGPIPE, which is pending now: it is taken before it can be delivered.
    if (done < 0 && error == EPIPE) {
      const timespec at_once{0, 0};
      ::syscall(SYS_rt_sigtimedwait, &sigpipe, nullptr, &at_once, kSetBytes);
    }
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kSetBytes);
  }
  errno = error;
  return done;
}
// sendfile(2). `offset` is moved. Never SIGPIPE.
inline ssize_t send_file(int to, int from, off_t* offset, std::size_t bytes) noexcept {
  if (injected("sendfile")) return -1;
  return without_sigpipe([&] { return ::syscall(SYS_sendfile, to, from, offset, bytes); });
}
// fcntl(F_GETFL): O_NONBLOCK and so on.
inline int status_flags(int fd) noexcept { return ::fcntl(fd, F_GETFL); }
// stat(2), which looks at no data: it suspends no task.
inline int path_status(const char* path, struct stat* status) noexcept {
  return injected("stat") ? -1 : ::stat(path, status);
}
inline int unlink(const char* path) noexcept {
  return injected("unlink") ? -1 : static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
inline off_t seek(int fd, off_t offset, int whence) noexcept {
  return static_cast<off_t>(::syscall(SYS_lseek, fd, offset, whence));
}
inline ssize_t read_at(int fd, void* into, std::size_t bytes, off_t offset) noexcept {
  return injected("pread64") ? -1 : ::syscall(SYS_pread64, fd, into, bytes, offset);
}
inline int socket_name(int fd, sockaddr* address, socklen_t* length) noexcept {
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) return current_network->socket_name(fd, address, length);
  return static_cast<int>(::syscall(SYS_getsockname, fd, address, length));
}
inline int peer_name(int fd, sockaddr* address, socklen_t* length) noexcept {
  if (AIOFIBER_UNLIKELY(current_network != nullptr)) return current_network->peer_name(fd, address, length);
  return static_cast<int>(::syscall(SYS_getpeername, fd, address, length));
}
inline int set_option(int fd, int level, int option, int value) noexcept {
  if (injected("setsockopt")) return -1;
  if (AIOFIBER_UNLIKELY(current_network != nullptr))
    return current_network->set_option(fd, level, option, &value, sizeof value);
  return static_cast<int>(::syscall(SYS_setsockopt, fd, level, option, &value, sizeof value));
}
inline int get_option(int fd, int level, int option, void* value, socklen_t* length) noexcept {
  if (AIOFIBER_UNLIKELY(current_network != nullptr))
    return current_network->get_option(fd, level, option, value, length);
  return static_cast<int>(::syscall(SYS_getsockopt, fd, level, option, value, length));
}

}  // namespace aiofiber::runtime::sys
