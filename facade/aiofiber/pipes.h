// SPDX-License-Identifier: Apache-2.0
//
// connect_read_pipe() and connect_write_pipe() of the loop: one end of a pipe for a protocol.
//
// They also take sockets and character devices, so a program can read its own stdin. The descriptor stays
// non-blocking, and so does whatever shares it: other programs on the same terminal see that.
// Source: loop.connect_read_pipe() and so on. Threads: the loop's.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "aiofiber/coro.h"
#include "aiofiber/endpoints.h"
#include "aiofiber/protocols.h"
#include "aiofiber/resolve.h"
#include "aiofiber/transports.h"

namespace aiofiber {

namespace detail {

// The transport, when connection_made() was called.
Coro<Transport> open_pipe(int fd, bool reads, std::shared_ptr<BaseProtocol> protocol);

template <class F>
Coro<std::pair<Transport, std::shared_ptr<ProtocolOf<F>>>> with_pipe(const LoopCore* loop, F factory, int fd,
                                                                     bool reads) {
  check_same_loop(get_running_loop().core(), loop, reads ? "connect_read_pipe" : "connect_write_pipe");
  std::shared_ptr<ProtocolOf<F>> protocol = factory();
  Transport transport = co_await open_pipe(fd, reads, protocol);
  co_return std::pair(std::move(transport), std::move(protocol));
}

}  // namespace detail

template <class F>
auto EventLoop::connect_read_pipe(F factory, int fd) {
  static_assert(detail::ProtocolFactory<F>, "a protocol factory gives a std::shared_ptr to a protocol");
  return detail::with_pipe(core_.get(), std::move(factory), fd, true);
}
template <class F>
auto EventLoop::connect_write_pipe(F factory, int fd) {
  static_assert(detail::ProtocolFactory<F>, "a protocol factory gives a std::shared_ptr to a protocol");
  return detail::with_pipe(core_.get(), std::move(factory), fd, false);
}

}  // namespace aiofiber
