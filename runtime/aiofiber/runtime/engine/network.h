// SPDX-License-Identifier: Apache-2.0
//
// The seam for the network: the socket calls of a simulated machine, instead of the kernel's.
//
// A simulator sets current_network while it runs the loop of one of its machines. Then the hooks and the
// facade's own socket calls ask it, where they would ask the kernel. It is null in production: the cost is a
// load and a branch. Calls that make, connect, name or shut down a socket ask it. Reads and writes of a
// connection ask only why they failed, because its descriptor is a real one, and whether it can carry what is
// more than bytes. Datagrams are sent by it, and it knows who sent what a call has received.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <ctime>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// What a look-up of a host's name gives.
struct NameAnswer {
  Nanoseconds after;  // the caller waits as long before it has the answer
  int error;          // EAI_NONAME, EAI_AGAIN and so on (getaddrinfo(3)); 0: the address is valid
  char address[16];   // IPv4, numeric; empty: it has none
  char address6[46];  // IPv6
};

// Each function is what the system call of that name is on a descriptor that does not block: it returns at
// once, -1 with errno if it fails. The callers wait, as they wait for the kernel.
// Threads: only the one that runs the machine's loop.
class Network {
 public:
  static constexpr int kIsNone = -2;  // what some give for a descriptor or name that is none of theirs
  static constexpr int kNoRoom = -3;  // what send() gives where a blocking call waits
  // `type` may contain SOCK_NONBLOCK and SOCK_CLOEXEC.
  virtual int socket(int family, int type, int protocol) noexcept = 0;
  virtual int bind(int fd, const sockaddr* address, socklen_t length) noexcept = 0;
  virtual int listen(int fd, int backlog) noexcept = 0;
  virtual int connect(int fd, const sockaddr* address, socklen_t length) noexcept = 0;
  // `flags`: as for accept4().
  virtual int accept(int fd, sockaddr* address, socklen_t* length, int flags) noexcept = 0;
  virtual int socket_name(int fd, sockaddr* address, socklen_t* length) noexcept = 0;
  virtual int peer_name(int fd, sockaddr* address, socklen_t* length) noexcept = 0;
  virtual int set_option(int fd, int level, int option, const void* value, socklen_t length) noexcept = 0;
  virtual int get_option(int fd, int level, int option, void* value, socklen_t* length) noexcept = 0;
  virtual int shut_down(int fd, int how) noexcept = 0;
  // As ioctl(2); kIsNone: the kernel does it.
  virtual int control(int fd, unsigned long request, void* argument) noexcept = 0;
  // The errno to report for a read or write of this descriptor that failed with `error`.
  virtual int transfer_error(int fd, int error) noexcept = 0;
  // As timerfd_create(2).
  virtual int timer(clockid_t clock, int flags) noexcept = 0;
  // As open(2); kIsNone: a file of the kernel.
  virtual int open(const char* path, int flags) noexcept = 0;

  // ---- the machine's disk
  // Whether it is simulated. Otherwise the next four need not be called.
  virtual bool has_disk() const noexcept = 0;
  // How long a sync of a file takes.
  virtual Nanoseconds sync_length() noexcept = 0;
  // The result of a sync, after that time: 0, or -1 with errno.
  virtual int end_sync(int fd) noexcept = 0;
  // How many of so many bytes can be written into the file at the position (-1: at its own); 0: none, for
  // ENOSPC. All, if it is no file.
  virtual std::size_t disk_room(int fd, off_t position, std::size_t bytes) noexcept = 0;
  // They will be written now; no more than there is room for.
  virtual void disk_takes(int fd, off_t position, std::size_t bytes) noexcept = 0;

  // ---- datagrams, timers and files of random bytes
  // Whether a descriptor of the network may be one of these, or a stream that is not connected. Otherwise a
  // call that moves only bytes, with usual flags, need not ask the next three.
  virtual bool has_messages() const noexcept = 0;
  // As sendmsg(2): sends at once or fails. kIsNone: the bytes are a stream's, or the descriptor is something
  // else, and the caller goes on with the kernel's call. kNoRoom with errno EAGAIN: the descriptor is not
  // writable until there is room.
  virtual ssize_t send(int fd, const msghdr& message, int flags) noexcept = 0;
  // Before each receiving call of the kernel. False: the caller's call fails, with errno.
  virtual bool before_receive(int fd, int flags) noexcept = 0;
  // After a receiving call of the kernel that succeeded: writes the sender of a datagram. `address` may be
  // null. `room` is what *length was before the call.
  virtual void after_receive(int fd, int flags, sockaddr* address, socklen_t room,
                             socklen_t* length) noexcept = 0;

  // `name` is not a numeric address.
  virtual NameAnswer look_up(const char* name) noexcept = 0;
  // Whether the machine's programs die now: its loop closes.
  virtual bool is_dying() const noexcept = 0;

 protected:
  ~Network() = default;
};

// The network of the machine whose loop runs on this thread; null: the kernel's.
inline constinit thread_local Network* current_network = nullptr;

// The result of a read or write: if it failed, errno becomes what the machine's network says.
inline ssize_t transfer_result(int fd, ssize_t result) noexcept {
  if (AIOFIBER_UNLIKELY(result < 0) && AIOFIBER_UNLIKELY(current_network != nullptr))
    errno = current_network->transfer_error(fd, errno);
  return result;
}

// The network that may have datagrams or timers; null: the kernel does it all.
inline Network* message_network() noexcept {
  return AIOFIBER_UNLIKELY(current_network != nullptr) && current_network->has_messages() ? current_network
                                                                                          : nullptr;
}

// With other flags, a simulated machine's network is asked whether it can do that.
inline constexpr int kUsualFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_WAITALL | MSG_CMSG_CLOEXEC;

// Sends by the network of a simulated machine, or fails as it says. False: the kernel sends. `result` may be
// kNoRoom.
inline bool network_sends(int fd, const msghdr& message, int flags, ssize_t& result) noexcept {
  Network* const network = current_network;
  if (AIOFIBER_LIKELY(network == nullptr)) return false;
  if (!network->has_messages() && message.msg_controllen == 0 && (flags & ~kUsualFlags) == 0) return false;
  result = network->send(fd, message, flags);
  return result != Network::kIsNone;
}
// The same for a call that never waits.
inline bool network_sends_at_once(int fd, const msghdr& message, int flags, ssize_t& result) noexcept {
  if (!network_sends(fd, message, flags, result)) return false;
  if (result == Network::kNoRoom) result = -1;
  return true;
}

// What a call of so many bytes sends to an address, as a message. `piece` is a part of it.
inline msghdr as_message(iovec& piece, const void* data, std::size_t bytes, const void* address,
                         socklen_t length) noexcept {
  piece = {const_cast<void*>(data), bytes};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_name = const_cast<void*>(address);
  message.msg_namelen = length;
  return message;
}

// A receiving call of the kernel, which the machine's network completes if it is of datagrams. `call()` is
// that call; `address` and `length` are where it writes the sender, or null.
template <class Call>
ssize_t receive_datagram_or(int fd, int flags, sockaddr* address, socklen_t* length, Call call) noexcept {
  Network* const network = current_network;
  if (AIOFIBER_LIKELY(network == nullptr)) return call();
  if (!network->has_messages() && (flags & ~kUsualFlags) == 0) return call();
  const socklen_t room = length != nullptr ? *length : 0;
  if (!network->before_receive(fd, flags)) return -1;
  const ssize_t result = call();
  if (result >= 0 && length != nullptr) network->after_receive(fd, flags, address, room, length);
  return result;
}
// The same for a call that fills a message.
template <class Call>
ssize_t receive_datagram_or(int fd, int flags, msghdr* message, Call call) noexcept {
  if (AIOFIBER_LIKELY(current_network == nullptr) || message == nullptr) return call();
  return receive_datagram_or(fd, flags, static_cast<sockaddr*>(message->msg_name), &message->msg_namelen,
                             call);
}

// The network of a machine whose disk is simulated; null: the kernel's files are all there is.
inline Network* disk_network() noexcept {
  return AIOFIBER_UNLIKELY(current_network != nullptr) && current_network->has_disk() ? current_network
                                                                                      : nullptr;
}

// Thrown at the waits of a simulated program that dies: as of a killed process, nothing of it runs any more
// but destructors. It has no base class. Where it cannot pass, the wait fails as in any loop that closes.
struct MachineDeath {};

}  // namespace aiofiber::runtime
