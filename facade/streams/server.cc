// SPDX-License-Identifier: Apache-2.0
//
// Accepting, and the two ends of a server: no more clients, and no client left.
#include "aiofiber/server.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>

#include <cerrno>
#include <deque>
#include <system_error>

#include "aiofiber/co_await.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "aiofiber/wait_queue.h"
#include "streams/fd_watch.h"
#include "streams/server_group.h"
#include "streams/socket_file.h"
#include "streams/socket_transport.h"
#include "streams/tls_factory.h"

namespace aiofiber {

namespace detail {

namespace sys = runtime::sys;
using runtime::Ref;

namespace {

bool is_shortage(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}
// The client has gone already, or there is none. accept(2) tells also what the network did to a client that
// waited, which is no error of the listening socket.
bool is_nobody(int error) noexcept {
  for (const int each : {EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                         EHOSTUNREACH, ENETUNREACH}) {
    if (error == each) return true;
  }
  return false;
}
// The socket does not listen (any more). All other errors are of one connection (accept(2): EPERM of a
// firewall, ETIMEDOUT and so on) or may pass.
bool is_for_good(int error) noexcept {
  return error == EBADF || error == ENOTSOCK || error == EINVAL || error == EOPNOTSUPP || error == EFAULT;
}
std::exception_ptr error_of(int error) {
  return std::make_exception_ptr(std::system_error(error, std::generic_category()));
}
// Nearly always for want of memory: the kernel's or the process's.
constexpr const char* kCannotWatch = "a server cannot watch its listening socket";

}  // namespace

// The loop's list keeps it from start_serving() to close().
class ServerState final : public std::enable_shared_from_this<ServerState>,
                          public OpenObject,
                          public ConnectionOwner,
                          public SeatedServer {
 public:
  ServerState(LoopCore& loop, ServerSetup setup)
      : loop_(&loop), setup_(std::move(setup)), tls_(tls_setup(setup_.tls, true)) {}
  ~ServerState() {
    if (linked()) unlink();
    let_go();
  }
  ServerState(const ServerState&) = delete;
  ServerState& operator=(const ServerState&) = delete;

  const std::vector<Socket>& sockets() const noexcept { return setup_.listening.sockets; }
  bool is_serving() const noexcept { return serving_; }

  void start() {
    if (closed_) throw RuntimeError("server " + text() + " is closed");
    if (serving_) return;
    for (const Socket& socket : setup_.listening.sockets) {
      if (sys::listen(socket.fd(), setup_.backlog) != 0)
        throw std::system_error(errno, std::generic_category(),
                                "cannot listen on " + repr(socket.getsockname()));
    }
    // All of them or none.
    absl::Cleanup undo = [this] {
      listeners_.clear();
      if (seat() == nullptr) return;
      seat()->rest();
      if (given_call_) given_call_->schedule_again();  // something may have been given to it
    };
    for (const Socket& socket : setup_.listening.sockets) listeners_.emplace_back(*this, socket.fd());
    if (seat() != nullptr) {
      if (!given_call_) {
        given_call_ = make_handle(*loop_, [this] { look_at_seat(); });
        given_call_->persistent = true;
      }
      seat()->serve(*this);
    }
    if (seat() == nullptr || seat()->accepts()) watch();
    std::move(undo).Cancel();
    kept_ = shared_from_this();
    loop_->open_objects.push_back(*this);
    serving_ = true;
  }

  void close() {
    if (std::exchange(closed_, true)) return;
    serving_ = false;
    const std::shared_ptr<ServerState> keep = shared_from_this();
    kept_ = nullptr;
    if (linked()) unlink();
    const absl::Cleanup at_the_end = [this] {
      let_go();
      if (forever_.valid() && !forever_.done()) forever_.cancel();
      if (connections_.empty()) waiters_.pop_and_wake_all();
    };
    if (seat() == nullptr) return;
    seat()->rest();
    take_given();
  }

  template <class Call>
  void for_each_connection(Call call) {
    std::vector<Ref<TransportState>> all;
    for (ConnectionLink* link = connections_.front(); link != nullptr; link = connections_.after(*link))
      all.emplace_back(link->transport);
    for (const Ref<TransportState>& transport : all) call(*transport);
  }

  bool is_finished() const noexcept { return closed_ && connections_.empty(); }
  static Coro<void> wait_closed(std::shared_ptr<ServerState> server) {
    if (server->is_finished()) co_return;
    WaitQueue::Waiter waiter(server->waiters_, server->bound_.get_loop("Server", server.get()));
    co_await waiter.woken_up();
  }

  static Coro<void> serve_forever(std::shared_ptr<ServerState> server) {
    if (server->forever_.valid())
      throw RuntimeError("server " + server->text() + " is already being awaited on serve_forever()");
    server->start();
    server->forever_ = server->loop_->facade().create_future<void>();
    std::exception_ptr error;
    try {
      co_await server->forever_;
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
    server->forever_ = {};
    server->close();
    co_await wait_closed(server);
    if (error != nullptr) std::rethrow_exception(error);
  }

  // ConnectionOwner
  void attach(ConnectionLink& connection) noexcept override { connections_.push_back(connection); }
  void detach(ConnectionLink& connection) noexcept override {
    connection.unlink();
    if (is_finished()) waiters_.pop_and_wake_all();
  }

  void loop_closes() noexcept override {
    const std::shared_ptr<ServerState> keep = std::exchange(kept_, nullptr);
    closed_ = true;
    serving_ = false;
    let_go();
  }

  // SeatedServer. The handle runs in the context of start().
  void seat_called() noexcept override { given_call_->schedule_again(); }

  std::string text() const {
    std::string out = "<Server sockets=[";
    for (const Socket& socket : setup_.listening.sockets) {
      if (out.back() != '[') out += ", ";
      out += repr(socket.getsockname());
    }
    return out + "]>";
  }

 private:
  struct Listener {
    Listener(ServerState& server, int descriptor)
        : fd(descriptor),
          handle(make_handle(*server.loop_, [&server, this] { server.accept_ready(*this); })),
          again(make_handle(*server.loop_, [&server, this] { server.accept_again(*this); })),
          watch(*server.loop_, descriptor, runtime::kReadable, handle) {
      handle->persistent = again->persistent = true;
    }
    bool pauses() const noexcept { return again->armed() || again->queued; }
    const int fd;
    const Ref<HandleBase> handle;
    const Ref<HandleBase> again;  // at the end of a pause; made early: a pause needs no memory
    FdWatch watch;
  };

  GroupSeat* seat() const noexcept { return setup_.seat.get(); }

  void watch() {
    for (Listener& listener : listeners_) listener.watch.start();
  }

  // In a group: connections that another loop has accepted, and whether this one accepts from now on.
  void look_at_seat() {
    const std::shared_ptr<ServerState> keep = shared_from_this();
    take_given();
    if (!serving_ || !seat()->accepts()) return;
    // One that pauses goes on by itself.
    for (const Listener& listener : listeners_) {
      if (!listener.watch.active() && !listener.pauses()) listener.again->schedule_again();
    }
  }
  void take_given() {
    absl::Cleanup again = [this] { given_call_->schedule_again(); };  // an exception leaves the loop
    for (int fd = seat()->next_connection(); fd >= 0; fd = seat()->next_connection()) take(fd);
    std::move(again).Cancel();
  }

  void accept_ready(Listener& listener) {
    const std::shared_ptr<ServerState> keep = shared_from_this();
    if (!serving_) return;
    if (const int error = listener.watch.error(); error != 0) {
      if (error == EBADF) give_up(listener, error);
      pause(listener);
      return report(listener, kCannotWatch, error_of(error));
    }
    if (!listener.watch.active()) return;
    // As many as may wait in the kernel, then the others of the loop have their turn.
    for (int count = 0; count < setup_.backlog && serving_; ++count) {
      const int fd = sys::accept(listener.fd, nullptr, nullptr);
      if (fd >= 0) {
        if (seat() == nullptr || !seat()->give(fd)) take(fd);
      } else if (const int error = errno; is_shortage(error)) {
        pause(listener);
        return report(listener, "socket.accept() out of system resource", error_of(error));
      } else if (is_nobody(error)) {
        return;
      } else if (is_for_good(error)) {
        give_up(listener, error);
      } else {
        pause(listener);
        return report(listener, "socket.accept() failed", error_of(error));
      }
    }
  }

  void take(int fd) {
    try {
      Socket socket = Socket::adopt(fd);
      std::shared_ptr<BaseProtocol> protocol = setup_.protocol_factory();
      if (tls_) protocol = setup_.tls.ssl.factory()->wrap(setup_.tls.ssl, *loop_, protocol, *tls_, {}).wire;
      SocketTransport::open(*loop_, std::move(socket), std::move(protocol), shared_from_this());
    } catch (...) {
      if (leaves_the_loop(std::current_exception())) throw;
      ExceptionContext report;
      report.message = "Error on transport creation for incoming connection";
      report.exception = std::current_exception();
      loop_->report(report);
    }
  }

  // The listening socket stays readable, so the loop would call at once again. A report needs memory, so it
  // comes later. If there is none for the timer, the next pass tries.
  void pause(Listener& listener) noexcept {
    listener.watch.stop();
    if (listener.pauses()) return;
    try {
      listener.again->schedule_at(loop_->facade().time() + std::chrono::seconds(1));
    } catch (const std::bad_alloc&) {
      listener.again->schedule_again();
    }
  }
  void report(const Listener& listener, const char* message, std::exception_ptr error) {
    ExceptionContext context;
    context.message = message;
    context.exception = std::move(error);
    context.extra.emplace_back("socket", absl::StrCat("fd ", listener.fd));
    loop_->report(context);
  }

  void accept_again(Listener& listener) {
    const std::shared_ptr<ServerState> keep = shared_from_this();
    if (!serving_ || (seat() != nullptr && !seat()->accepts())) return;
    listener.watch.forget_error();
    try {
      listener.watch.start();
    } catch (const std::exception& error) {
      const auto* const system = dynamic_cast<const std::system_error*>(&error);
      if (system != nullptr && system->code().value() == EBADF) give_up(listener, EBADF);
      pause(listener);
      report(listener, kCannotWatch, std::current_exception());
    }
  }

  // Nobody is accepted on this socket any more. In a group another server has one of its own.
  [[noreturn]] void give_up(Listener& listener, int error) {
    listener.watch.stop();
    if (seat() != nullptr) {
      for (Listener& each : listeners_) each.watch.stop();
      seat()->rest();
    }
    throw std::system_error(error, std::generic_category(), "accept");
  }

  // The file is last: who joins the group before this server has left it needs the file.
  void let_go() noexcept {
    close_sockets();
    if (seat() != nullptr) seat()->leave();
    setup_.listening.file.reset();
  }
  void close_sockets() noexcept {
    for (Listener& listener : listeners_) {
      listener.again->cancel();
      listener.watch.stop();
      listener.handle->cancel();
    }
    if (given_call_) given_call_->cancel();
    for (const Socket& socket : setup_.listening.sockets) {
      socket.close();
    }
    setup_.listening.sockets.clear();
  }

  const Ref<LoopCore> loop_;
  ServerSetup setup_;
  const std::optional<TlsSetup> tls_;
  std::deque<Listener> listeners_;  // their addresses stay
  Ref<HandleBase> given_call_;      // in a group, from start() on
  runtime::List<ConnectionLink> connections_;
  bool serving_ = false;
  bool closed_ = false;
  std::shared_ptr<ServerState> kept_;  // by the loop's list
  Future<void> forever_;               // valid while a task is in serve_forever()
  LoopBound bound_;
  WaitQueue waiters_{AIOFIBER_WAIT_OTHER, this};
};

Server make_server(LoopCore& loop, ServerSetup setup) {
  if (setup.listening.sockets.empty()) throw ValueError("a server needs a socket to listen on");
  const bool start = setup.start_serving;
  auto state = std::make_shared<ServerState>(loop, std::move(setup));
  if (start) state->start();
  return Server(std::move(state));
}

}  // namespace detail

detail::ServerState& Server::state() const {
  if (state_ == nullptr)
    throw RuntimeError("this server handle is empty: it was default-constructed or moved from");
  return *state_;
}

std::vector<Socket> Server::sockets() const { return state().sockets(); }
bool Server::is_serving() const { return state().is_serving(); }
void Server::close() const { state().close(); }
void Server::close_clients() const {
  state().for_each_connection([](detail::TransportState& transport) { transport.close(); });
}
void Server::abort_clients() const {
  state().for_each_connection([](detail::TransportState& transport) { transport.abort(); });
}
Coro<void> Server::start_serving() const {
  state();
  return [](std::shared_ptr<detail::ServerState> server) -> Coro<void> {
    server->start();
    co_return;
  }(state_);
}
Coro<void> Server::serve_forever() const {
  state();
  return detail::ServerState::serve_forever(state_);
}
Coro<void> Server::wait_closed() const {
  state();
  return detail::ServerState::wait_closed(state_);
}

std::string repr(const Server& server) {
  return server.state_ != nullptr ? server.state_->text() : "<Server empty>";
}

}  // namespace aiofiber
