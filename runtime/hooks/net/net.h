// SPDX-License-Identifier: Apache-2.0
//
// One message of recvmsg and sendmsg, for calls that move several messages. They suspend the task and follow
// the rules of net.cc: a send sends everything, time limits bound the call,
// ancillary data is sent once.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

namespace aiofiber::hooks {

// As the hooked recvmsg() and sendmsg() of a task, but the task's turn is already counted.
ssize_t receive_message(int fd, msghdr* message, int flags);
ssize_t transmit_message(int fd, const msghdr* message, int flags);

// Sends by the network of a simulated machine, and waits for room as a blocking call does. False: the kernel
// sends. No signal is raised: datagrams raise none on Linux.
bool transmit_by_network(int fd, const msghdr& message, int flags, ssize_t& result);

// The result of a send that the kernel made with MSG_NOSIGNAL because a simulated machine's network decides:
// raises SIGPIPE if it failed with EPIPE and the program's `flags` do not forbid it. errno is kept.
ssize_t raise_sigpipe_if_simulated(int flags, ssize_t result) noexcept;

// With these flags the kernel never waits, whatever the socket's mode: the hook does nothing.
inline constexpr int kReceivesAtOnce = MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB;

// As libc's calls, with flags that never wait.
ssize_t receive_message_at_once(int fd, msghdr* message, int flags) noexcept;
ssize_t transmit_message_at_once(int fd, const msghdr* message, int flags) noexcept;

}  // namespace aiofiber::hooks
