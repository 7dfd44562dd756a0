// SPDX-License-Identifier: Apache-2.0
//
// One message of recvmsg and sendmsg, for the calls that move several of them.
// They suspend the task and keep the rules of net.cc: all of a send goes out, time limits bound the call,
// ancillary data goes once.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

namespace aiofiber::hooks {

// As the hooked recvmsg() and sendmsg() of a task, with the task's turn already counted.
ssize_t receive_message(int fd, msghdr* message, int flags);
ssize_t transmit_message(int fd, const msghdr* message, int flags);

}  // namespace aiofiber::hooks
