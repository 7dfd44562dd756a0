// SPDX-License-Identifier: Apache-2.0
//
// The simulator's own system calls, on the kernel's descriptors: past the hooks and past the network seam.
//
// Each returns what the system call returns: -1 with errno. None waits. They are on the descriptors that the
// simulator makes, and work or fail as memory and descriptors last; no test makes them fail.
#pragma once

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace aiofiber::testing::detail::real {

inline int get_option(int fd, int level, int option, void* value, socklen_t* length) noexcept {
  return static_cast<int>(::syscall(SYS_getsockopt, fd, level, option, value, length));
}
inline int set_option(int fd, int level, int option, const void* value, socklen_t length) noexcept {
  return static_cast<int>(::syscall(SYS_setsockopt, fd, level, option, value, length));
}
inline int socket_name(int fd, sockaddr* address, socklen_t* length) noexcept {
  return static_cast<int>(::syscall(SYS_getsockname, fd, address, length));
}
inline int peer_name(int fd, sockaddr* address, socklen_t* length) noexcept {
  return static_cast<int>(::syscall(SYS_getpeername, fd, address, length));
}
inline int shut_down(int fd, int how) noexcept { return static_cast<int>(::syscall(SYS_shutdown, fd, how)); }
// The socket's number of its own, which no other socket has while the system runs; 0: no socket.
inline std::uint64_t cookie(int fd) noexcept {
  std::uint64_t value = 0;
  socklen_t length = sizeof value;
  return get_option(fd, SOL_SOCKET, SO_COOKIE, &value, &length) == 0 ? value : 0;
}
// The bytes that can be read; 1 if that is not known.
inline std::size_t unread_bytes(int fd) noexcept {
  int count = 0;
  return ::syscall(SYS_ioctl, fd, FIONREAD, &count) == 0 && count > 0 ? static_cast<std::size_t>(count) : 1;
}
inline std::size_t pending_bytes(int fd) noexcept {
  int count = 0;
  return ::syscall(SYS_ioctl, fd, FIONREAD, &count) == 0 && count > 0 ? static_cast<std::size_t>(count) : 0;
}
// Of the first message that can be read; 0 if there is none.
inline std::size_t unread_message_bytes(int fd) noexcept {
  const ssize_t bytes =
      ::syscall(SYS_recvfrom, fd, nullptr, 0, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC, nullptr, nullptr);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}
// What the kernel counts for all that was sent and not read yet.
inline int unread_memory(int fd) noexcept {
  int count = 0;
  return ::syscall(SYS_ioctl, fd, SIOCOUTQ, &count) == 0 ? count : 0;
}
inline ssize_t send(int fd, const void* data, std::size_t bytes) noexcept {
  return ::syscall(SYS_sendto, fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}
inline ssize_t send_message(int fd, const msghdr& message) noexcept {
  return ::syscall(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
inline ssize_t receive(int fd, void* into, std::size_t bytes) noexcept {
  return ::syscall(SYS_recvfrom, fd, into, bytes, MSG_DONTWAIT, nullptr, nullptr);
}
inline int epoll_create() noexcept { return ::epoll_create1(EPOLL_CLOEXEC); }
inline int epoll_control(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t id) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, &event));
}
inline int epoll_look(int epoll, epoll_event* events, int most) noexcept {
  return static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, most, 0, nullptr, 8));
}
// Of the descriptor, or of the path itself if `fd` < 0.
inline int file_status(int fd, const char* path, struct ::statx& status) noexcept {
  const int folder = fd < 0 ? AT_FDCWD : fd;
  const int flags = fd < 0 ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
  return static_cast<int>(
      ::syscall(SYS_statx, folder, fd < 0 ? path : "", flags, STATX_BASIC_STATS | STATX_BTIME, &status));
}
inline int file_control(int fd, int command, int argument) noexcept {
  return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
}

}  // namespace aiofiber::testing::detail::real
