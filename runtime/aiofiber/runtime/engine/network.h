// SPDX-License-Identifier: Apache-2.0
//
// The seam for the network: the socket calls of a simulated machine, instead of the kernel's.
//
// A simulator sets current_network while it runs the loop of one of its machines. Then the hooks and the
// facade's own socket calls ask it, where they would ask the kernel. It is null in production: the cost is a
// load and a branch, in calls that make, connect or name a socket. Reads and writes of a connection ask
// only why they failed: its descriptor is a real one.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// What a look-up of a host's name gives.
struct NameAnswer {
  Nanoseconds after;  // the caller waits as long before it has the answer
  int error;          // EAI_NONAME, EAI_AGAIN and so on (getaddrinfo(3)); 0: the address is valid
  char address[16];   // IPv4, numeric
};

// Each function is what the system call of that name is on a descriptor that does not block: it returns at
// once, -1 with errno if it fails. The callers wait, as they wait for the kernel.
// Threads: only the one that runs the machine's loop.
class Network {
 public:
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
  // The errno to report for a read or write of this descriptor that failed with `error`.
  virtual int transfer_error(int fd, int error) noexcept = 0;
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

// Thrown at the waits of a simulated program that dies: as of a killed process, nothing of it runs any more
// but destructors. It has no base class. Where it cannot pass, the wait fails as in any loop that closes.
struct MachineDeath {};

}  // namespace aiofiber::runtime
