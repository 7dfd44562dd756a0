// SPDX-License-Identifier: Apache-2.0
//
// DatagramTransport and DatagramProtocol: UDP and Unix datagrams, by callbacks.
//
// create_datagram_endpoint() makes a socket and connects the two. The transport calls the protocol on the
// loop's own stack, so await() is an error there: start a task instead. Source: asyncio's "Datagram
// Protocols". Threads: the loop's.
// Differs from asyncio: a DatagramProtocol is no BaseProtocol, because its transport is of another type. One
// pass of the loop may receive several datagrams.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/resolve.h"
#include "aiofiber/socket.h"
#include "aiofiber/transports.h"
#include "aiofiber/wait_fd.h"

namespace aiofiber {

class DatagramTransport;

// What a program derives. connection_made() is called once, then the others, then connection_lost() once. An
// exception that leaves a function goes to the loop's exception handler; the transport stays open.
class DatagramProtocol {
 public:
  virtual ~DatagramProtocol() = default;
  // The socket is ready. A copy of the handle may be kept.
  virtual void connection_made(DatagramTransport transport);
  // The transport is closed, and nothing is called after it. Null: by close() or abort().
  virtual void connection_lost(std::exception_ptr error);
  // A datagram came, also an empty one. `data` is valid during the call.
  virtual void datagram_received(std::string_view data, const SocketAddress& from);
  // A send or receive failed with a std::system_error: ECONNREFUSED (a peer said that nobody listens),
  // EMSGSIZE, ... The transport stays open.
  virtual void error_received(std::exception_ptr error);
  // More bytes are queued than the high-water mark; no more than the low-water mark again.
  virtual void pause_writing() {}
  // The counterpart of pause_writing(): go on.
  virtual void resume_writing() {}
};

namespace detail {

class DatagramState;
}  // namespace detail

// A shared handle, as a future is. The loop keeps an open transport: dropping the handle does not close it.
// Members of a transport whose loop has closed do nothing, or tell what was. RuntimeError: a
// default-constructed handle.
class DatagramTransport {
 public:
  DatagramTransport() noexcept = default;
  explicit DatagramTransport(std::shared_ptr<detail::DatagramState> state) noexcept
      : state_(std::move(state)) {}
  // false: empty; its other functions throw RuntimeError
  bool valid() const noexcept { return state_ != nullptr; }

  // Sends one datagram, which may be empty. Tried at once; queued if the socket is full, and then the bytes
  // are copied. Errors of the kernel go to error_received(). `address`: required unless the endpoint has a
  // remote_addr; with one, only that address. ValueError: another one. After the transport was closed it is
  // dropped, with a warning in the log from the fifth time on.
  void sendto(std::string_view data, const std::optional<SocketAddress>& address = std::nullopt) const;

  // Whether it is closed or closing.
  bool is_closing() const;
  // Receives no more, sends what is queued, then closes the socket: connection_lost(nullptr) is called later.
  void close() const;
  // Closes at once; what is queued is dropped. connection_lost(nullptr) is called later.
  void abort() const;

  // In bytes, with 8 for each datagram's header. ValueError: high is below low.
  void set_write_buffer_limits(WriteBufferLimits limits) const;
  // Low and high.
  std::pair<std::size_t, std::size_t> get_write_buffer_limits() const;
  // Bytes that are queued, counted as for the limits.
  std::size_t get_write_buffer_size() const;

  // Null after connection_lost().
  std::shared_ptr<DatagramProtocol> get_protocol() const;
  // The own address, and that of the other side (nullopt: not connected); known also after close().
  std::optional<SocketAddress> sockname() const;
  // See sockname().
  std::optional<SocketAddress> peername() const;
  // nullopt once it is closed.
  std::optional<Socket> socket() const;
  // The same by asyncio's names: get_extra_info(extra_info::peername).
  std::optional<SocketAddress> get_extra_info(ExtraInfo<SocketAddress> key) const {
    return key.name == extra_info::peername.name ? peername() : sockname();
  }
  std::optional<Socket> get_extra_info(ExtraInfo<Socket>) const { return socket(); }

  friend bool operator==(const DatagramTransport&, const DatagramTransport&) noexcept = default;
  friend std::string repr(const DatagramTransport& transport);

 private:
  detail::DatagramState& state() const;
  std::shared_ptr<detail::DatagramState> state_;
};
// The text that asyncio prints for a transport.
std::string repr(const DatagramTransport& transport);

// The keyword arguments of create_datagram_endpoint().
struct DatagramEndpointOptions {
  // What the socket is bound to, and what it is connected to: a host and a port, which may be 0.
  std::optional<std::pair<std::string, int>> local_addr = std::nullopt;
  // See local_addr.
  std::optional<std::pair<std::string, int>> remote_addr = std::nullopt;
  // The same for family = AF_UNIX. A socket file that is left at local_path is removed first.
  std::optional<std::string> local_path = std::nullopt;
  // See local_path.
  std::optional<std::string> remote_path = std::nullopt;
  int family = 0;           // required if there is no address
  int proto = 0;            // of getaddrinfo()
  int flags = 0;            // of getaddrinfo()
  bool reuse_port = false;  // SO_REUSEPORT: several sockets may have the address
  // Allows to send to broadcast addresses. A remote_addr is then only the default: the socket is not
  // connected, and receives from everybody.
  bool allow_broadcast = false;
};

// EventLoop::create_datagram_endpoint(factory, options): an awaitable of the pair (DatagramTransport, the
// protocol), when connection_made() was called. `factory`: a callable that gives a std::shared_ptr to a new
// protocol; it is called when the socket is ready. Cancellation: a cancellation point; the transport is
// closed then. Errors: ValueError: neither an address nor a family, names that do not fit the family, no
// common family of the two addresses, a socket that is no datagram socket; gaierror; std::system_error: the
// first of those that the candidates had; what the factory throws.

namespace detail {

template <class F>
concept DatagramProtocolFactory = requires(F& factory) {
  std::shared_ptr<DatagramProtocol>(factory());
};
template <class F>
using DatagramProtocolOf = typename std::invoke_result_t<F&>::element_type;
template <class F>
using DatagramEndpoint = std::pair<DatagramTransport, std::shared_ptr<DatagramProtocolOf<F>>>;

// A socket of an endpoint, and where it sends to by default.
struct DatagramSocket {
  Socket socket;
  std::optional<SocketAddress> remote;
};
Coro<DatagramSocket> open_datagram_socket(const LoopCore* asked, DatagramEndpointOptions options);
Coro<DatagramSocket> take_datagram_socket(const LoopCore* asked, Socket socket);
Coro<DatagramTransport> open_datagram_transport(DatagramSocket socket,
                                                std::shared_ptr<DatagramProtocol> protocol);

template <class F>
Coro<DatagramEndpoint<F>> make_datagram_endpoint(F factory, Coro<DatagramSocket> opening) {
  DatagramSocket socket = co_await std::move(opening);
  std::shared_ptr<DatagramProtocolOf<F>> protocol = factory();
  DatagramTransport transport = co_await open_datagram_transport(std::move(socket), protocol);
  co_return DatagramEndpoint<F>(std::move(transport), std::move(protocol));
}

// `open`: gives the socket, when the awaitable begins.
template <class F, class Open>
auto datagram_endpoint(F factory, Open open) {
  static_assert(DatagramProtocolFactory<F>,
                "a protocol factory gives a std::shared_ptr to a DatagramProtocol");
  if constexpr (DatagramProtocolFactory<F>) {
    auto make = [factory = std::move(factory), open = std::move(open)]() mutable {
      return make_datagram_endpoint(std::move(factory), open());
    };
    const EntryInfo entry = entry_of(make);
    return Coroutine<DatagramEndpoint<F>>(AsCoro{std::move(make), entry});
  } else {
    // The error above is enough.
    return Coroutine<std::pair<DatagramTransport, std::shared_ptr<DatagramProtocol>>>(
        [] { return std::pair<DatagramTransport, std::shared_ptr<DatagramProtocol>>(); });
  }
}

}  // namespace detail

template <class F>
auto EventLoop::create_datagram_endpoint(F factory, DatagramEndpointOptions options) {
  return detail::datagram_endpoint(std::move(factory),
                                   [asked = core_.get(), options = std::move(options)]() mutable {
                                     return detail::open_datagram_socket(asked, std::move(options));
                                   });
}
template <class F>
auto EventLoop::create_datagram_endpoint(F factory, Socket socket) {
  return detail::datagram_endpoint(std::move(factory),
                                   [asked = core_.get(), socket = std::move(socket)]() mutable {
                                     return detail::take_datagram_socket(asked, std::move(socket));
                                   });
}

}  // namespace aiofiber
