// SPDX-License-Identifier: Apache-2.0
//
// The loop's calls on sockets. Each is an Operation of FdCall (wait_fd.h), except connecting and sending
// files, which wait for more than one thing.
#include "aiofiber/sock_calls.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

#include "aiofiber/executor.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "aiofiber/sleep.h"
#include "aiofiber/wait_fd.h"
#include "sockets/file_to_send.h"

namespace aiofiber {

namespace sys = runtime::sys;

namespace {

using detail::entry_of_member;
using detail::EntryInfo;
using detail::FdCall;
using detail::FileStep;
using detail::FileToSend;
using detail::LoopCore;

// What one sock_recv() takes at most: its buffer is made before the bytes are there.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 20;

bool would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

void check_non_blocking(const LoopCore& loop, int fd) {
  if (!loop.debug()) return;
  const int flags = sys::status_flags(fd);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0)
    throw ValueError("the socket must be non-blocking: set O_NONBLOCK, or make it a Socket");
}

// The common part of the operations. `Own` has kFunction, its name.
template <class Own>
struct SocketOperation {
  const LoopCore* asked;
  int fd;

  void begin(const LoopCore& running) const {
    detail::check_same_loop(running, asked, Own::kFunction);
    check_non_blocking(running, fd);
  }
  // Makes the call until no signal interrupts it. nullopt: the kernel would block. std::system_error.
  template <class Call>
  std::optional<std::size_t> tried(Call call) const {
    for (;;) {
      const ssize_t done = call();
      if (done >= 0) return static_cast<std::size_t>(done);
      if (would_block(errno)) return std::nullopt;
      if (errno != EINTR) throw std::system_error(errno, std::generic_category(), Own::kFunction);
    }
  }
};

// The bytes of the buffer that were received, without much unused memory.
std::string cut(std::string buffer, std::size_t bytes) {
  buffer.resize(bytes);
  if (buffer.capacity() > 4096 && bytes < buffer.capacity() / 2) buffer.shrink_to_fit();
  return buffer;
}

// The sender of a datagram; empty where the kernel gives none.
class Sender {
 public:
  sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
  socklen_t* size() noexcept { return &(length_ = sizeof storage_); }
  SocketAddress address() const {
    return {reinterpret_cast<const sockaddr*>(&storage_),
            std::min(length_, static_cast<socklen_t>(sizeof storage_))};
  }

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

// MSG_DONTWAIT everywhere: a socket that blocks does not block the thread either.
struct Receive : SocketOperation<Receive> {
  static constexpr char kFunction[] = "sock_recv";
  static EntryInfo entry() noexcept { return entry_of_member(&EventLoop::sock_recv); }
  static constexpr unsigned kEvents = runtime::kReadable;
  using Result = std::string;
  std::size_t most;
  std::string received = {};

  bool attempt() {
    std::string buffer(std::min(most, kMostAtOnce), '\0');
    const auto done = tried([&] { return sys::receive(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); });
    if (done) received = cut(std::move(buffer), *done);
    return done.has_value();
  }
  std::string take() { return std::move(received); }
};

struct ReceiveInto : SocketOperation<ReceiveInto> {
  static constexpr char kFunction[] = "sock_recv_into";
  static EntryInfo entry() noexcept { return entry_of_member(&EventLoop::sock_recv_into); }
  static constexpr unsigned kEvents = runtime::kReadable;
  using Result = std::size_t;
  std::span<char> buffer;
  std::size_t received = 0;

  bool attempt() {
    const auto done = tried([&] { return sys::receive(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); });
    received = done.value_or(0);
    return done.has_value();
  }
  std::size_t take() const { return received; }
};

struct ReceiveFrom : SocketOperation<ReceiveFrom> {
  static constexpr char kFunction[] = "sock_recvfrom";
  static EntryInfo entry() noexcept { return entry_of_member(&EventLoop::sock_recvfrom); }
  static constexpr unsigned kEvents = runtime::kReadable;
  using Result = std::pair<std::string, SocketAddress>;
  std::size_t most;
  Result received = {};

  bool attempt() {
    Sender sender;
    std::string buffer(std::min(most, kMostAtOnce), '\0');
    const auto done = tried([&] {
      return sys::receive(fd, buffer.data(), buffer.size(), MSG_DONTWAIT, sender.data(), sender.size());
    });
    if (done) received = {cut(std::move(buffer), *done), sender.address()};
    return done.has_value();
  }
  Result take() { return std::move(received); }
};

struct ReceiveFromInto : SocketOperation<ReceiveFromInto> {
  static constexpr char kFunction[] = "sock_recvfrom_into";
  static EntryInfo entry() noexcept { return entry_of_member(&EventLoop::sock_recvfrom_into); }
  static constexpr unsigned kEvents = runtime::kReadable;
  using Result = std::pair<std::size_t, SocketAddress>;
  std::span<char> buffer;
  Result received = {};

  bool attempt() {
    Sender sender;
    const auto done = tried([&] {
      return sys::receive(fd, buffer.data(), buffer.size(), MSG_DONTWAIT, sender.data(), sender.size());
    });
    if (done) received = {*done, sender.address()};
    return done.has_value();
  }
  Result take() { return std::move(received); }
};

// Data: std::string or a span of the caller's.
template <class Data>
struct SendAll : SocketOperation<SendAll<Data>> {
  static constexpr char kFunction[] = "sock_sendall";
  static EntryInfo entry() noexcept {
    using Member = Coroutine<void> (EventLoop::*)(int, std::string);
    return entry_of_member(static_cast<Member>(&EventLoop::sock_sendall));
  }
  static constexpr unsigned kEvents = runtime::kWritable;
  using Result = void;
  Data data;
  std::size_t sent = 0;

  bool attempt() {
    do {
      const auto done = this->tried(
          [&] { return sys::send(this->fd, data.data() + sent, data.size() - sent, MSG_DONTWAIT); });
      if (!done) return false;
      sent += *done;
    } while (sent < data.size());
    return true;
  }
  void take() const noexcept {}
};

struct SendTo : SocketOperation<SendTo> {
  static constexpr char kFunction[] = "sock_sendto";
  static EntryInfo entry() noexcept { return entry_of_member(&EventLoop::sock_sendto); }
  static constexpr unsigned kEvents = runtime::kWritable;
  using Result = std::size_t;
  std::string data;
  SocketAddress to;
  std::size_t sent = 0;

  bool attempt() {
    const auto done =
        tried([&] { return sys::send(fd, data.data(), data.size(), MSG_DONTWAIT, to.data(), to.size()); });
    sent = done.value_or(0);
    return done.has_value();
  }
  std::size_t take() const { return sent; }
};

struct Accept : SocketOperation<Accept> {
  static constexpr char kFunction[] = "sock_accept";
  static EntryInfo entry() noexcept { return entry_of_member(&EventLoop::sock_accept); }
  static constexpr unsigned kEvents = runtime::kReadable;
  using Result = std::pair<Socket, SocketAddress>;
  Result accepted = {};

  bool attempt() {
    for (;;) {
      Sender peer;
      const int connection = sys::accept(fd, peer.data(), peer.size());
      if (connection >= 0) {
        accepted = {Socket::adopt(connection), peer.address()};
        return true;
      }
      if (would_block(errno)) return false;
      // A connection that its client has given up meanwhile is passed over.
      if (errno != EINTR && errno != ECONNABORTED)
        throw std::system_error(errno, std::generic_category(), kFunction);
    }
  }
  Result take() { return std::move(accepted); }
};

template <class Operation>
Coroutine<typename Operation::Result> call_of(Operation operation) {
  return Coroutine<typename Operation::Result>(FdCall<Operation>{std::move(operation)});
}

}  // namespace

Coroutine<std::string> EventLoop::sock_recv(int fd, std::size_t n) {
  static_assert(sizeof(FdCall<Receive>) <= 64 && sizeof(FdCall<SendAll<std::string>>) <= 64);
  return call_of(Receive{{&core(), fd}, n});
}

Coroutine<std::size_t> EventLoop::sock_recv_into(int fd, std::span<char> buffer) {
  return call_of(ReceiveInto{{&core(), fd}, buffer});
}

Coroutine<std::pair<std::string, SocketAddress>> EventLoop::sock_recvfrom(int fd, std::size_t n) {
  return call_of(ReceiveFrom{{&core(), fd}, n});
}

Coroutine<std::pair<std::size_t, SocketAddress>> EventLoop::sock_recvfrom_into(int fd,
                                                                               std::span<char> buffer) {
  return call_of(ReceiveFromInto{{&core(), fd}, buffer});
}

Coroutine<void> EventLoop::sock_sendall(int fd, std::string data) {
  return call_of(SendAll<std::string>{{&core(), fd}, std::move(data)});
}

Coroutine<void> detail::sock_sendall_span(const LoopCore& loop, int fd, std::span<const char> data) {
  return call_of(SendAll<std::span<const char>>{{&loop, fd}, data});
}

Coroutine<std::size_t> EventLoop::sock_sendto(int fd, std::string data, SocketAddress address) {
  return call_of(SendTo{{&core(), fd}, std::move(data), std::move(address)});
}

Coroutine<std::pair<Socket, SocketAddress>> EventLoop::sock_accept(int fd) {
  return call_of(Accept{{&core(), fd}});
}

// ---- connecting -------------------------------------------------------------------------------------------

namespace {

[[noreturn]] void throw_connect_failed(int error, const SocketAddress& address) {
  throw std::system_error(error, std::generic_category(),
                          absl::StrCat("Connect call failed ", repr(address)));
}

// What a connect(2) has to wait for. kPause: a Unix socket whose server has a full backlog, which nothing can
// wait for: it is tried again after a pause.
enum class ConnectStep { kDone, kWritable, kPause };

ConnectStep begin_connect(int fd, const SocketAddress& address) {
  if (sys::connect(fd, address.data(), address.size()) == 0) return ConnectStep::kDone;
  if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR) return ConnectStep::kWritable;
  if (errno == EAGAIN && address.family() == AF_UNIX) return ConnectStep::kPause;
  throw_connect_failed(errno, address);
}

void end_connect(int fd, const SocketAddress& address) {
  int error = 0;
  socklen_t size = sizeof error;
  if (sys::get_option(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) throw_connect_failed(error, address);
}

Coro<void> checked_connect(const LoopCore* asked, int fd, SocketAddress address) {
  const LoopCore& running = get_running_loop().core();
  detail::check_same_loop(running, asked, "sock_connect");
  check_non_blocking(running, fd);
  co_await detail::connect_socket(fd, std::move(address));
}

Coro<void> resolve_and_connect(const LoopCore* asked, int fd, std::string host, Service port) {
  detail::check_same_loop(get_running_loop().core(), asked, "sock_connect");
  int family = 0, type = 0;
  socklen_t size = sizeof family;
  if (sys::get_option(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 ||
      sys::get_option(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
    throw std::system_error(errno, std::generic_category(), "sock_connect");
  const auto found = co_await detail::resolve(std::move(host), std::move(port),
                                              GetAddrInfoOptions{.family = family, .type = type});
  co_await checked_connect(asked, fd, found.at(0).address);
}

using ConnectMember = Coroutine<void> (EventLoop::*)(int, SocketAddress);

}  // namespace

Coro<void> detail::connect_socket(int fd, SocketAddress address) {
  LoopCore& loop = current_task_core()->loop();
  auto pause = std::chrono::milliseconds(1);
  constexpr auto kLongestPause = std::chrono::milliseconds(64);
  for (;;) {
    const ConnectStep step = begin_connect(fd, address);
    if (step == ConnectStep::kDone) co_return;
    if (step == ConnectStep::kWritable) break;
    co_await SleepFor{pause};
    pause = std::min(pause * 2, kLongestPause);
  }
  FdWait wait(loop, fd, runtime::kWritable);
  co_await wait.ready();
  end_connect(fd, address);
}

Coroutine<void> EventLoop::sock_connect(int fd, SocketAddress address) {
  return Coroutine<void>(
      detail::AsCoro{[asked = &core(), fd, address] { return checked_connect(asked, fd, address); },
                     detail::entry_of_member(static_cast<ConnectMember>(&EventLoop::sock_connect))});
}

Coroutine<void> EventLoop::sock_connect(int fd, std::string host, Service port) {
  return Coroutine<void>(
      detail::AsCoro{[asked = &core(), fd, host = std::move(host), port = std::move(port)]() mutable {
                       return resolve_and_connect(asked, fd, std::move(host), std::move(port));
                     },
                     detail::entry_of_member(static_cast<ConnectMember>(&EventLoop::sock_connect))});
}

// ---- files ------------------------------------------------------------------------------------------------

namespace {

void check_stream_socket(const LoopCore& loop, const FileToSend& job) {
  check_non_blocking(loop, job.socket);
  int type = 0;
  socklen_t size = sizeof type;
  if (sys::get_option(job.socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
    throw std::system_error(errno, std::generic_category(), job.function);
  if (type != SOCK_STREAM) throw ValueError("Only SOCK_STREAM type sockets are supported");
  detail::check_file_to_send(job);
}

Coro<std::size_t> send_file_by_copying(LoopCore& loop, FileToSend job) {
  std::size_t sent = 0;
  const bool seekable = detail::check_seekable(job);
  const detail::PositionAtEnd at_end(job, sent, seekable);
  for (;;) {
    const std::size_t wanted = detail::rest_of_file(job, sent, detail::kPieceOfFile);
    if (wanted == 0) co_return sent;
    const std::string piece =
        co_await loop.facade().run_in_executor(nullptr, &detail::read_piece, job, sent, wanted, seekable);
    if (piece.empty()) co_return sent;
    co_await detail::sock_sendall_span(loop, job.socket, piece);
    sent += piece.size();
  }
}

Coro<std::size_t> send_file(const LoopCore* asked, FileToSend job) {
  LoopCore& loop = get_running_loop().core();
  detail::check_same_loop(loop, asked, "sock_sendfile");
  check_stream_socket(loop, job);
  std::size_t sent = 0;
  {
    const detail::PositionAtEnd at_end(job, sent, true);
    FileStep step;
    while ((step = detail::send_piece(job, sent)) != FileStep::kRefused) {
      if (step == FileStep::kAllSent) co_return sent;
      // Also if it took all: a peer that reads as fast must not keep the loop from its other tasks.
      detail::FdWait wait(loop, job.socket, runtime::kWritable);
      co_await wait.ready();
    }
  }
  co_return co_await send_file_by_copying(loop, job);
}

}  // namespace

Coroutine<std::size_t> EventLoop::sock_sendfile(int fd, int file, off_t offset,
                                                std::optional<std::size_t> count, bool fallback) {
  return Coroutine<std::size_t>(
      detail::AsCoro{[asked = &core(), job = FileToSend{fd, file, offset, count, fallback, "sock_sendfile"}] {
                       return send_file(asked, job);
                     },
                     detail::entry_of_member(&EventLoop::sock_sendfile)});
}

}  // namespace aiofiber
