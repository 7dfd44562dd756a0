// SPDX-License-Identifier: Apache-2.0
//
// Server: listening sockets, and a connection with its own protocol for each client. Source: asyncio.Server.
//
// A shared handle, as a future is. start_server() (streams.h) and EventLoop::create_server() make one. The
// loop keeps a server that is not closed. If the process has no descriptor left for a client (EMFILE and the
// like), the server reports it to the loop's exception handler and accepts again after one second; the
// clients wait meanwhile. Threads: the loop's.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/coro.h"
#include "aiofiber/protocols.h"
#include "aiofiber/socket.h"
#include "aiofiber/ssl.h"
#include "aiofiber/task_group.h"

namespace aiofiber {

namespace detail {

class ServerState;
class ServerGroupState;
class GroupSeat;
class SocketFile;

struct ListeningSockets {
  std::vector<Socket> sockets;
  std::shared_ptr<SocketFile> file = nullptr;  // goes with the last server
};
struct ServerSetup {
  ListeningSockets listening;
  std::shared_ptr<GroupSeat> seat = nullptr;  // of a server of a group
  std::function<std::shared_ptr<BaseProtocol>()> protocol_factory;
  int backlog = 100;
  bool start_serving = true;
  TlsOptions tls = {};
};

}  // namespace detail

// Servers in several loops that share their listening sockets: an option of start_server() and the like, for
// the workers of run_workers(). SO_REUSEPORT (reuse_port) costs less, but it is for ports only, and the
// kernel spreads few connections unevenly. In a group one loop accepts, and hands the connections to the
// servers' loops in turn; there they are served as if that server had accepted them.
//
// The first server that is started with a group listens at its address. The others take over its sockets
// instead of their own address. When the accepting server closes, another one accepts: clients wait meanwhile
// in the kernel. What was handed to a server is served by it, also if it closes at that moment; if its loop
// closes, by the others. The sockets close with the last server. Then a group can begin again.
// A shared handle. Threads: any; a server belongs to its loop as always.
class ServerGroup {
 public:
  ServerGroup();
  friend bool operator==(const ServerGroup&, const ServerGroup&) noexcept = default;
  const std::shared_ptr<detail::ServerGroupState>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<detail::ServerGroupState> state_;
};

// A handle of listening sockets and their connections. Source: asyncio.Server.
class Server {
 public:
  // An empty handle: every function throws RuntimeError.
  Server() noexcept = default;

  // Its sockets; none after close().
  std::vector<Socket> sockets() const;
  // True while it accepts.
  bool is_serving() const;
  // Begins to accept, if it does not yet. RuntimeError: closed.
  Coro<void> start_serving() const;
  // Accepts until the task is cancelled; then closes the server, waits for its end, and throws
  // CancelledError. RuntimeError: closed; another task waits in it.
  Coro<void> serve_forever() const;
  // Accepts no more, and closes the listening sockets. Open connections go on. A second call does nothing.
  void close() const;
  // Closes or aborts the transports of all open connections.
  void close_clients() const;
  // As close_clients(), but at once: what is buffered is dropped.
  void abort_clients() const;
  // Waits until the server is closed and its last connection has ended.
  // Cancellation: a cancellation point when it suspends.
  Coro<void> wait_closed() const;

  // Python's `async with server`: calls the body; then closes the server and waits for its end, also after an
  // error. The value of the body is the value of the await.
  // Differs from asyncio: `async with server:` is a call with a body, server.with(body).
  template <class Body>
  Coroutine<detail::Awaited<std::invoke_result_t<Body&>>> with(Body body) const;

  friend bool operator==(const Server&, const Server&) noexcept = default;
  friend std::string repr(const Server& server);
  explicit Server(std::shared_ptr<detail::ServerState> state) noexcept : state_(std::move(state)) {}

 private:
  detail::ServerState& state() const;

  std::shared_ptr<detail::ServerState> state_;
};
// The text that asyncio prints, with the sockets.
std::string repr(const Server& server);

namespace detail {
template <class R, class Body>
struct ServerWithCall {
  Server server;
  Body body;
  // Not inlined: see runtime::PassesOnOther.
  AIOFIBER_NOINLINE R operator()() {
    std::exception_ptr error;
    std::optional<Stored<R>> value;
    try {
      if constexpr (std::is_void_v<R>) {
        call_here(body);
      } else {
        value.emplace(call_here(body));
      }
    } catch (const runtime::PassesOnOther&) {
      throw;
    } catch (const runtime::ForcedUnwind&) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
    server.close();
    await(server.wait_closed());
    if (error != nullptr) std::rethrow_exception(error);
    if constexpr (std::is_reference_v<R>) {
      return static_cast<R>(value->get());
    } else if constexpr (!std::is_void_v<R>) {
      return std::move(*value);
    }
  }
};

// A server of the running loop. ValueError: no socket.
Server make_server(LoopCore& loop, ServerSetup setup);
}  // namespace detail

template <class Body>
Coroutine<detail::Awaited<std::invoke_result_t<Body&>>> Server::with(Body body) const {
  using R = detail::Awaited<std::invoke_result_t<Body&>>;
  return Coroutine<R>(detail::ServerWithCall<R, Body>{*this, std::move(body)});
}

}  // namespace aiofiber
