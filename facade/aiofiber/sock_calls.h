// SPDX-License-Identifier: Apache-2.0
//
// sock_recv() and the other calls of the loop on sockets: their error, and what their templates need.
//
// They are members of EventLoop and documented there. Each tries its system call at once, and waits for the
// descriptor only where the kernel would block (wait_fd.h), so a call that can be done costs one system call
// and no pass. Source: asyncio's "Working with socket objects directly".
// Differs from asyncio: a socket is given by its descriptor. Several tasks may wait for one descriptor. One
// call receives at most 1 MiB. sock_connect() waits for a Unix server whose backlog is full.
#pragma once

#include <span>

#include "aiofiber/coroutine.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/resolve.h"
#include "aiofiber/socket.h"

namespace aiofiber {

// The kernel cannot send this file by sendfile(2), and no fallback was wanted.
class SendfileNotAvailableError : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
};

namespace detail {
Coroutine<void> sock_sendall_span(const LoopCore& loop, int fd, std::span<const char> data);
// The parts of connect.h. `fd` does not block.
Coro<void> connect_socket(int fd, SocketAddress address);
}  // namespace detail

template <std::same_as<std::span<const char>> Bytes>
Coroutine<void> EventLoop::sock_sendall(int fd, Bytes data) {
  return detail::sock_sendall_span(*core_, fd, data);
}

}  // namespace aiofiber
