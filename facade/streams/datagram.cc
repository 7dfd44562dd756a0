// SPDX-License-Identifier: Apache-2.0
//
// The transport of datagrams: reads them from the loop's reader callback, queues what the kernel does not
// take.
//
// The reader callback of the loop holds a reference to the transport, so an open one lives as long as its
// loop. Calls of the protocol keep the protocol alive, which may close or abort the transport at any time.
#include "aiofiber/datagram.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <system_error>
#include <vector>

#include "aiofiber/connect.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/future.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "aiofiber/sock_calls.h"

namespace aiofiber {

namespace sys = runtime::sys;

void DatagramProtocol::connection_made(DatagramTransport) {}
void DatagramProtocol::connection_lost(std::exception_ptr) {}
void DatagramProtocol::datagram_received(std::string_view, const SocketAddress&) {}
void DatagramProtocol::error_received(std::exception_ptr) {}

namespace detail {

namespace {

constexpr std::size_t kHeaderBytes = 8;  // what asyncio counts for a datagram's header
constexpr std::size_t kLargestInternet = 65536;
constexpr std::size_t kLargestLocal = 256 * 1024;
constexpr int kMostInOnePass = 16;  // datagrams, so that other callbacks get their turn
constexpr int kSilentDrops = 4;
constexpr std::size_t kDefaultHigh = 64 * 1024;

std::exception_ptr error_of_call(int error, const char* call) {
  return std::make_exception_ptr(std::system_error(error, std::generic_category(), call));
}

std::optional<SocketAddress> name_of(const Socket& socket, SocketAddress (Socket::*ask)() const) {
  try {
    SocketAddress address = (socket.*ask)();
    if (address.size() > 0) return address;
  } catch (const std::system_error&) {
    // Not known then.
  }
  return std::nullopt;
}

}  // namespace

class DatagramState final : public std::enable_shared_from_this<DatagramState>, public OpenObject {
 public:
  DatagramState(LoopCore& loop, DatagramSocket opened, std::shared_ptr<DatagramProtocol> protocol)
      : loop_(&loop),
        socket_(std::move(opened.socket)),
        remote_(std::move(opened.remote)),
        protocol_(std::move(protocol)),
        own_name_(name_of(socket_, &Socket::getsockname)),
        peer_name_(name_of(socket_, &Socket::getpeername)),
        capacity_(socket_.family() == AF_UNIX ? kLargestLocal : kLargestInternet),
        buffer_(new char[capacity_]),
        end_call_(make_handle(loop, [this] { end(); })) {}
  ~DatagramState() { end_call_->cancel(); }
  DatagramState(const DatagramState&) = delete;
  DatagramState& operator=(const DatagramState&) = delete;

  // ---- of the public handle
  void sendto(std::string_view data, const std::optional<SocketAddress>& address);
  bool is_closing() const noexcept { return closing_ || loop_->closed(); }
  void close();
  void abort();
  void set_limits(const WriteBufferLimits& limits);
  std::pair<std::size_t, std::size_t> limits() const noexcept { return {low_, high_}; }
  std::size_t queued_bytes() const noexcept { return queued_bytes_; }
  const std::shared_ptr<DatagramProtocol>& protocol() const noexcept { return protocol_; }
  const std::optional<SocketAddress>& own_name() const noexcept { return own_name_; }
  const std::optional<SocketAddress>& peer_name() const noexcept { return peer_name_; }
  std::optional<Socket> socket() const {
    return socket_.is_open() ? std::optional<Socket>(socket_) : std::nullopt;
  }
  std::string text() const;

  // ---- of the loop: it keeps the transport from here to end()
  void open() {
    kept_ = shared_from_this();
    loop_->open_objects.push_back(*this);
  }
  void loop_closes() noexcept override;
  void begin() { protocol_->connection_made(DatagramTransport(shared_from_this())); }
  void begin_reading() {
    if (!closing_) loop_->facade().add_reader(socket_.fd(), [self = shared_from_this()] { self->receive(); });
  }

 private:
  struct Datagram {
    std::string data;
    std::optional<SocketAddress> to;
  };

  int try_to_send(std::string_view data, const std::optional<SocketAddress>& to) const noexcept;
  void queue(std::string_view data, const std::optional<SocketAddress>& to);
  void receive();
  void send_queued();
  void pause_or_resume();
  void stop_and_close(bool drop_queue);
  void end();

  runtime::Ref<LoopCore> loop_;
  Socket socket_;
  std::optional<SocketAddress> remote_;  // the only one that may be sent to
  std::shared_ptr<DatagramProtocol> protocol_;
  const std::optional<SocketAddress> own_name_;
  const std::optional<SocketAddress> peer_name_;
  const std::size_t capacity_;
  const std::unique_ptr<char[]> buffer_;     // of what is received
  const runtime::Ref<HandleBase> end_call_;  // made early: closing needs no memory
  std::deque<Datagram> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t high_ = kDefaultHigh;
  std::size_t low_ = kDefaultHigh / 4;
  int dropped_ = 0;  // datagrams since it was closed
  bool paused_ = false;
  bool closing_ = false;
  bool end_is_scheduled_ = false;
  std::shared_ptr<DatagramState> kept_;  // by the loop's list
};

// 0, or the errno.
int DatagramState::try_to_send(std::string_view data, const std::optional<SocketAddress>& to) const noexcept {
  const bool by_name = !peer_name_ && to;
  for (;;) {
    const ssize_t done = sys::send(socket_.fd(), data.data(), data.size(), MSG_DONTWAIT,
                                   by_name ? to->data() : nullptr, by_name ? to->size() : 0);
    if (done >= 0) return 0;
    if (errno != EINTR) return errno == EWOULDBLOCK ? EAGAIN : errno;
  }
}

void DatagramState::sendto(std::string_view data, const std::optional<SocketAddress>& address) {
  loop_->check_thread();
  if (remote_ && address && *address != *remote_)
    throw ValueError(absl::StrCat("Invalid address: must be None or ", repr(*remote_)));
  if (end_is_scheduled_ || loop_->closed() || !socket_.is_open()) {
    if (dropped_++ >= kSilentDrops) log(LogLevel::WARNING, "socket.send() raised exception.");
    return;
  }
  const std::optional<SocketAddress>& to = remote_ ? remote_ : address;
  if (!queue_.empty()) return queue(data, to);
  const int error = try_to_send(data, to);
  if (error == EAGAIN) return queue(data, to);
  if (error == 0) return;
  const std::shared_ptr<DatagramProtocol> protocol = protocol_;
  protocol->error_received(error_of_call(error, "sendto"));
}

void DatagramState::queue(std::string_view data, const std::optional<SocketAddress>& to) {
  queue_.push_back({std::string(data), to});
  if (queue_.size() == 1) {
    try {
      loop_->facade().add_writer(socket_.fd(), [self = shared_from_this()] { self->send_queued(); });
    } catch (...) {
      queue_.pop_back();
      throw;
    }
  }
  queued_bytes_ += data.size() + kHeaderBytes;
  pause_or_resume();
}

// An error of one datagram is told when all else is done, because the protocol may throw.
void DatagramState::send_queued() {
  const std::shared_ptr<DatagramProtocol> protocol = protocol_;
  int error = 0;
  while (!queue_.empty() && error == 0) {
    error = try_to_send(queue_.front().data, queue_.front().to);
    if (error == EAGAIN) break;
    queued_bytes_ -= queue_.front().data.size() + kHeaderBytes;
    queue_.pop_front();
  }
  pause_or_resume();
  if (queue_.empty() && !end_is_scheduled_) {
    loop_->facade().remove_writer(socket_.fd());
    if (closing_) stop_and_close(false);
  }
  if (error != 0 && error != EAGAIN) protocol->error_received(error_of_call(error, "sendto"));
}

void DatagramState::receive() {
  const std::shared_ptr<DatagramProtocol> protocol = protocol_;
  for (int i = 0; i < kMostInOnePass && !closing_; ++i) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* const from = reinterpret_cast<sockaddr*>(&storage);
    const ssize_t got = sys::receive(socket_.fd(), buffer_.get(), capacity_, MSG_DONTWAIT, from, &length);
    if (got >= 0) {
      protocol->datagram_received(std::string_view(buffer_.get(), static_cast<std::size_t>(got)),
                                  SocketAddress(from, std::min<socklen_t>(length, sizeof storage)));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      return protocol->error_received(error_of_call(errno, "recvfrom"));
    }
  }
}

// Tells the protocol when a limit is passed. Its exceptions are reported, and change nothing.
void DatagramState::pause_or_resume() {
  const bool pause = !paused_ && queued_bytes_ > high_;
  const bool resume = paused_ && queued_bytes_ <= low_;
  if (!pause && !resume) return;
  paused_ = pause;
  const std::shared_ptr<DatagramProtocol> protocol = protocol_;
  if (protocol == nullptr) return;
  try {
    if (pause) {
      protocol->pause_writing();
    } else {
      protocol->resume_writing();
    }
  } catch (...) {
    const std::exception_ptr error = std::current_exception();
    if (leaves_the_loop(error)) throw;
    ExceptionContext context;
    context.message = pause ? "protocol.pause_writing() failed" : "protocol.resume_writing() failed";
    context.exception = error;
    loop_->report(context);
  }
}

void DatagramState::set_limits(const WriteBufferLimits& limits) {
  const auto [high, low] = limits;
  const std::size_t most = high ? *high : low ? (*low > SIZE_MAX / 4 ? SIZE_MAX : *low * 4) : kDefaultHigh;
  const std::size_t least = low ? *low : most / 4;
  if (most < least)
    throw ValueError(absl::StrCat("high (", most, ") must be >= low (", least, ") must be >= 0"));
  high_ = most;
  low_ = least;
  if (!loop_->closed()) pause_or_resume();
}

void DatagramState::close() {
  if (loop_->closed()) return socket_.close();
  loop_->check_thread();
  if (closing_) return;
  if (queue_.empty()) return stop_and_close(false);
  closing_ = true;
  loop_->facade().remove_reader(socket_.fd());
}

void DatagramState::abort() {
  if (loop_->closed()) return socket_.close();
  loop_->check_thread();
  if (!end_is_scheduled_) stop_and_close(true);
}

void DatagramState::stop_and_close(bool drop_queue) {
  closing_ = end_is_scheduled_ = true;
  end_call_->schedule_soon();
  loop_->facade().remove_reader(socket_.fd());
  if (!drop_queue || queue_.empty()) return;
  loop_->facade().remove_writer(socket_.fd());
  queue_.clear();
  queued_bytes_ = 0;
}

void DatagramState::end() {
  if (linked()) unlink();
  const std::shared_ptr<DatagramState> keep = std::move(kept_);
  const std::shared_ptr<DatagramProtocol> protocol = std::move(protocol_);
  const absl::Cleanup close_it = [this] { socket_.close(); };
  protocol->connection_lost(nullptr);
}

// The protocol may hold the transport, so its reference goes, too.
void DatagramState::loop_closes() noexcept {
  const std::shared_ptr<DatagramState> keep = std::move(kept_);
  const std::shared_ptr<DatagramProtocol> protocol = std::move(protocol_);
  closing_ = end_is_scheduled_ = true;
  end_call_->cancel();
  queue_.clear();
  queued_bytes_ = 0;
  socket_.close();
}

std::string DatagramState::text() const {
  std::string text = "<DatagramTransport";
  if (!socket_.is_open()) {
    text += " closed";
  } else {
    if (closing_) text += " closing";
    absl::StrAppend(&text, " fd=", socket_.fd());
    if (!loop_->closed())
      absl::StrAppend(&text, closing_ ? " read=idle" : " read=polling",
                      queue_.empty() ? " write=<idle, bufsize=" : " write=<polling, bufsize=", queued_bytes_,
                      ">");
  }
  return text + ">";
}

// ---- opening ----------------------------------------------------------------------------------------------

namespace {

void check_datagram_options(const DatagramEndpointOptions& options) {
  const bool has_path = options.local_path || options.remote_path;
  const bool has_host = options.local_addr || options.remote_addr;
  if (has_path && has_host) throw ValueError("give a path or a host with a port, not both");
  if (has_path && options.family != AF_UNIX && options.family != 0)
    throw ValueError("a path needs family = AF_UNIX");
  if (has_host && options.family == AF_UNIX)
    throw ValueError("family AF_UNIX needs local_path and remote_path, not local_addr and remote_addr");
  if (!has_path && !has_host && options.family == 0)
    throw ValueError("unexpected address family: give a local_addr, a remote_addr or a family");
}

// One socket to try.
struct Candidate {
  int family;
  int proto;
  std::optional<SocketAddress> local;
  std::optional<SocketAddress> remote;
};

Coro<std::vector<Candidate>> candidates_for(DatagramEndpointOptions options) {
  std::vector<Candidate> found;
  const auto place_of = [&](const AddressInfo& info) -> Candidate& {
    const auto known = std::find_if(found.begin(), found.end(), [&](const Candidate& each) {
      return each.family == info.family && each.proto == info.protocol;
    });
    if (known != found.end()) return *known;
    return found.emplace_back(Candidate{info.family, info.protocol, std::nullopt, std::nullopt});
  };
  const GetAddrInfoOptions wanted{
      .family = options.family, .type = SOCK_DGRAM, .proto = options.proto, .flags = options.flags};
  if (options.local_addr) {
    const auto answers = co_await resolve(options.local_addr->first, options.local_addr->second, wanted);
    for (const AddressInfo& info : answers) {
      if (Candidate& candidate = place_of(info); !candidate.local) candidate.local = info.address;
    }
  }
  if (options.remote_addr) {
    const auto answers = co_await resolve(options.remote_addr->first, options.remote_addr->second, wanted);
    for (const AddressInfo& info : answers) {
      if (Candidate& candidate = place_of(info); !candidate.remote) candidate.remote = info.address;
    }
  }
  std::erase_if(found, [&](const Candidate& each) {
    return (options.local_addr && !each.local) || (options.remote_addr && !each.remote);
  });
  if (found.empty()) throw ValueError("can not get address information");
  co_return found;
}

Candidate candidate_of_paths(const DatagramEndpointOptions& options) {
  Candidate result{AF_UNIX, options.proto, std::nullopt, std::nullopt};
  if (options.local_path) {
    result.local = SocketAddress::unix_path(*options.local_path);
    if (options.local_path->front() != '\0') remove_stale_socket(*options.local_path);
  }
  if (options.remote_path) result.remote = SocketAddress::unix_path(*options.remote_path);
  return result;
}

Coro<DatagramSocket> open_candidate(Candidate candidate, bool reuse_port, bool allow_broadcast) {
  DatagramSocket result{Socket(candidate.family, SOCK_DGRAM, candidate.proto), candidate.remote};
  if (reuse_port) result.socket.set_option(SOL_SOCKET, SO_REUSEPORT, 1);
  if (allow_broadcast) result.socket.set_option(SOL_SOCKET, SO_BROADCAST, 1);
  if (candidate.local &&
      sys::bind(result.socket.fd(), candidate.local->data(), candidate.local->size()) != 0) {
    throw std::system_error(
        errno, std::generic_category(),
        absl::StrCat("error while attempting to bind on address ", repr(*candidate.local)));
  }
  if (candidate.remote && !allow_broadcast) co_await connect_socket(result.socket.fd(), *candidate.remote);
  co_return result;
}

}  // namespace

Coro<DatagramSocket> open_datagram_socket(const LoopCore* asked, DatagramEndpointOptions options) {
  check_same_loop(get_running_loop().core(), asked, "create_datagram_endpoint");
  check_datagram_options(options);
  std::vector<Candidate> candidates;
  if (options.local_addr || options.remote_addr) {
    candidates = co_await candidates_for(options);
  } else if (options.local_path || options.remote_path) {
    candidates.push_back(candidate_of_paths(options));
  } else {
    candidates.push_back({options.family, options.proto, std::nullopt, std::nullopt});
  }
  std::exception_ptr first_error;
  for (const Candidate& each : candidates) {
    try {
      co_return co_await open_candidate(each, options.reuse_port, options.allow_broadcast);
    } catch (const std::system_error&) {
      if (first_error == nullptr) first_error = std::current_exception();
    }
  }
  std::rethrow_exception(first_error);
}

Coro<DatagramSocket> take_datagram_socket(const LoopCore* asked, Socket socket) {
  check_same_loop(get_running_loop().core(), asked, "create_datagram_endpoint");
  if (!socket.is_open() || socket.type() != SOCK_DGRAM)
    throw ValueError(absl::StrCat("A datagram socket was expected, got ", repr(socket)));
  co_return DatagramSocket{std::move(socket), std::nullopt};
}

namespace {
struct AbortUnlessOpened {
  DatagramState& state;
  bool opened = false;
  ~AbortUnlessOpened() {
    try {
      if (!opened) state.abort();
    } catch (const std::exception&) {
      // Another thread than the loop's: the socket is closed with the last reference.
    }
  }
};
}  // namespace

Coro<DatagramTransport> open_datagram_transport(DatagramSocket socket,
                                                std::shared_ptr<DatagramProtocol> protocol) {
  if (protocol == nullptr) throw TypeError("the protocol factory gave no protocol");
  EventLoop& loop = get_running_loop();
  const auto state = std::make_shared<DatagramState>(loop.core(), std::move(socket), std::move(protocol));
  state->open();
  AbortUnlessOpened guard{*state};
  const Future<void> ready = loop.create_future<void>();
  loop.call_soon([state] { state->begin(); });
  loop.call_soon([state, ready] {
    std::exception_ptr error;
    try {
      state->begin_reading();
    } catch (...) {
      error = std::current_exception();
    }
    if (ready.done()) return;
    if (error != nullptr) {
      ready.set_exception(error);
    } else {
      ready.set_result();
    }
  });
  co_await ready;
  guard.opened = true;
  co_return DatagramTransport(state);
}

}  // namespace detail

// ---- the handle -------------------------------------------------------------------------------------------

detail::DatagramState& DatagramTransport::state() const {
  if (state_ == nullptr)
    throw RuntimeError("this transport handle is empty: it was default-constructed or moved from");
  return *state_;
}

void DatagramTransport::sendto(std::string_view data, const std::optional<SocketAddress>& address) const {
  state().sendto(data, address);
}
bool DatagramTransport::is_closing() const { return state().is_closing(); }
void DatagramTransport::close() const { state().close(); }
void DatagramTransport::abort() const { state().abort(); }
void DatagramTransport::set_write_buffer_limits(WriteBufferLimits limits) const {
  state().set_limits(limits);
}
std::pair<std::size_t, std::size_t> DatagramTransport::get_write_buffer_limits() const {
  return state().limits();
}
std::size_t DatagramTransport::get_write_buffer_size() const { return state().queued_bytes(); }
std::shared_ptr<DatagramProtocol> DatagramTransport::get_protocol() const { return state().protocol(); }
std::optional<SocketAddress> DatagramTransport::sockname() const { return state().own_name(); }
std::optional<SocketAddress> DatagramTransport::peername() const { return state().peer_name(); }
std::optional<Socket> DatagramTransport::socket() const { return state().socket(); }
std::string repr(const DatagramTransport& transport) {
  return transport.valid() ? transport.state().text() : "<DatagramTransport empty>";
}

}  // namespace aiofiber
