// SPDX-License-Identifier: Apache-2.0
//
// Reading, writing and the end of a connection. A call into the protocol may do anything to the transport,
// also end it, so each such call is the last step, or is followed by a look at the state.
#include "streams/socket_transport.h"

#include <absl/strings/str_cat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/socket_syscall.h"

namespace aiofiber {

void BaseProtocol::connection_made(Transport) {}
void BaseProtocol::connection_lost(std::exception_ptr) {}
void Protocol::data_received(std::string_view) {}

void Transport::throw_empty() {
  throw RuntimeError("this transport handle is empty: it was default-constructed or moved from");
}

namespace detail {

namespace sys = runtime::sys;
using runtime::Ref;

std::exception_ptr connection_reset(const char* text) {
  return std::make_exception_ptr(std::system_error(ECONNRESET, std::generic_category(), text));
}

// ---- the beginning ----------------------------------------------------------------------------------------

SocketTransport::SocketTransport(LoopCore& loop, Socket socket)
    : StreamTransport(loop),
      socket_(std::move(socket)),
      fd_(socket_.fd()),
      peername_(socket_.getpeername()),
      sockname_(socket_.getsockname()),
      readable_(
          loop, fd_, runtime::kReadable,
          Ref<HandleBase>(new MemberHandle<SocketTransport, &SocketTransport::read_ready>(loop, *this))),
      writable_(
          loop, fd_, runtime::kWritable,
          Ref<HandleBase>(new MemberHandle<SocketTransport, &SocketTransport::write_ready>(loop, *this))),
      lost_call_(new MemberHandle<SocketTransport, &SocketTransport::call_connection_lost>(loop, *this)) {
  if (sockname_.family() == AF_INET || sockname_.family() == AF_INET6)
    sys::set_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
}

SocketTransport::~SocketTransport() {
  lost_call_->cancel();
  if (linked()) unlink();
}

Ref<SocketTransport> SocketTransport::open(LoopCore& loop, Socket socket,
                                           std::shared_ptr<BaseProtocol> protocol,
                                           std::shared_ptr<ConnectionOwner> owner, Future<void> made) {
  loop.check_open();
  Ref<SocketTransport> transport(new SocketTransport(loop, std::move(socket)));
  transport->set_protocol(std::move(protocol));
  auto first_call = make_handle(loop, [keep = transport] { keep->connection_made(); });
  if (owner != nullptr) owner->attach(transport->link_);
  transport->owner_ = std::move(owner);
  transport->made_ = std::move(made);
  transport->retain();  // by the loop's list
  loop.open_objects.push_back(*transport);
  first_call->schedule_soon();
  return transport;
}

void SocketTransport::connection_made() {
  if (lost_) {  // aborted before it began: nothing is called
    if (made_.valid() && !made_.done()) made_.set_exception(connection_reset("Connection lost"));
    return;
  }
  connected_ = true;
  const Future<void> made = std::move(made_);
  call_protocol("connection_made", [&] { protocol_->connection_made(Transport(Ref<TransportState>(this))); });
  start_reading();
  if (made.valid() && !made.done()) made.set_result();
}

void SocketTransport::start_reading() {
  if (!is_reading() || !connected_) return;
  try {
    readable_.start();
  } catch (const std::exception&) {
    fatal_error("Fatal error: the socket cannot be watched.", std::current_exception());
  }
}

// ---- reading ----------------------------------------------------------------------------------------------

void SocketTransport::pause_reading() {
  paused_ = true;
  readable_.stop();
}

void SocketTransport::resume_reading() {
  paused_ = false;
  start_reading();
}

void SocketTransport::read_ready() {
  if (readable_.error() != 0 && !lost_) return system_error("read", readable_.error());
  if (!is_reading() || lost_) return;
  if (buffered_ != nullptr) {
    receive(*buffered_);
  } else {
    receive(*plain_);
  }
}

void SocketTransport::receive(Protocol& protocol) {
  const std::span<char> memory = memory_of_thread();
  const ssize_t count = sys::receive(fd_, memory.data(), memory.size(), 0);
  if (count < 0) {
    if (!is_for_now(errno)) system_error("read", errno);
  } else if (count == 0) {
    end_of_stream();
  } else {
    call_protocol("data_received", [&] {
      protocol.data_received(std::string_view(memory.data(), static_cast<std::size_t>(count)));
    });
  }
}

void SocketTransport::receive(BufferedProtocol& protocol) {
  const std::span<char> memory = call_get_buffer(protocol, kMostAtOnce);
  if (memory.empty() || lost_) return;
  const ssize_t count = sys::receive(fd_, memory.data(), memory.size(), 0);
  if (count < 0) {
    if (!is_for_now(errno)) system_error("read", errno);
  } else if (count == 0) {
    end_of_stream();
  } else {
    call_protocol("buffer_updated", [&] { protocol.buffer_updated(static_cast<std::size_t>(count)); });
  }
}

void SocketTransport::end_of_stream() {
  eof_received_ = true;
  readable_.stop();
  bool stays_open = false;
  if (call_eof_received(stays_open) && !stays_open) close();
}

// ---- writing ----------------------------------------------------------------------------------------------

void SocketTransport::write(std::string_view bytes, std::string* owned) {
  check_no_file();
  if (eof_written_) throw RuntimeError("Cannot call write() after write_eof()");
  if (bytes.empty()) return;
  if (lost_) {
    constexpr unsigned kWritesBeforeTheWarning = 5;
    if (writes_after_loss_ >= kWritesBeforeTheWarning)
      log(LogLevel::WARNING, "socket.send() raised exception.");
    ++writes_after_loss_;
    return;
  }
  std::size_t sent = 0;
  if (buffer_.empty()) {
    const ssize_t count = sys::send(fd_, bytes.data(), bytes.size());
    if (count < 0 && !is_for_now(errno)) return system_error("write", errno);
    if (count > 0) sent = static_cast<std::size_t>(count);
    if (sent == bytes.size()) return;
    try {
      writable_.start();
    } catch (const std::exception&) {
      return fatal_error("Fatal error: the socket cannot be watched.", std::current_exception());
    }
  }
  keep_for_later(buffer_, bytes, owned, sent, writable_);
  maybe_pause_protocol();
}

void SocketTransport::write_ready() {
  if (lost_ || (buffer_.empty() && !sends_file())) return;
  if (writable_.error() != 0) return system_error("write", writable_.error());
  if (buffer_.empty()) {
    writable_.stop();
    return tell_file_sender();
  }
  std::array<iovec, 64> pieces;
  msghdr message{};
  const auto filled = buffer_.pieces(pieces);
  message.msg_iov = const_cast<iovec*>(filled.data());
  message.msg_iovlen = filled.size();
  const ssize_t count = sys::send_message(fd_, &message);
  if (count < 0) {
    if (!is_for_now(errno)) system_error("write", errno);
    return;
  }
  buffer_.consume(static_cast<std::size_t>(count));
  maybe_resume_protocol();  // may write or close
  if (!buffer_.empty() || lost_) return;
  writable_.stop();
  if (closing_) {
    lose(nullptr);
  } else if (eof_written_ && !sends_file()) {
    sys::shut_down(fd_, SHUT_WR);
  }
}

void SocketTransport::write_eof() {
  if (closing_ || eof_written_) return;
  eof_written_ = true;
  if (buffer_.empty() && !sends_file()) sys::shut_down(fd_, SHUT_WR);
}

void SocketTransport::end_file() noexcept {
  StreamTransport::end_file();
  if (lost_ || !buffer_.empty()) return;
  writable_.stop();
  if (eof_written_) sys::shut_down(fd_, SHUT_WR);
}

// ---- the end ----------------------------------------------------------------------------------------------

void SocketTransport::close() {
  if (closing_) return;
  closing_ = true;
  readable_.stop();
  if (buffer_.empty()) lose(nullptr);
}

void SocketTransport::force_close(std::exception_ptr error) {
  if (lost_) return;
  closing_ = true;
  buffer_.clear();
  lose(std::move(error));
}

void SocketTransport::lose(std::exception_ptr error) {
  if (std::exchange(lost_, true)) return;
  readable_.stop();
  writable_.stop();
  lost_error_ = std::move(error);
  tell_file_sender();
  if (!loop_->closed()) lost_call_->schedule_again();
}

void SocketTransport::call_connection_lost() {
  const std::shared_ptr<BaseProtocol> protocol = forget_protocol();
  const bool was_connected = std::exchange(connected_, false);
  const std::exception_ptr error = std::exchange(lost_error_, nullptr);
  const Ref<SocketTransport> keep(this);
  release_socket();
  if (linked()) {
    unlink();
    release();  // of the loop's list
  }
  // Last, because it may throw: the handle reports that.
  if (was_connected) protocol->connection_lost(error);
}

void SocketTransport::release_socket() noexcept {
  if (const std::shared_ptr<ConnectionOwner> owner = std::exchange(owner_, nullptr)) owner->detach(link_);
  if (socket_.is_open() && readable_.error() != EBADF && writable_.error() != EBADF) {
    socket_.close();
  } else {
    socket_.detach();  // somebody else closed the number, which may be another file now
  }
}

void SocketTransport::loop_closes() noexcept {
  const Ref<SocketTransport> keep(this);
  closing_ = lost_ = true;
  readable_.stop();
  writable_.stop();
  lost_call_->cancel();
  buffer_.clear();
  release_socket();
  made_ = {};
  const std::shared_ptr<BaseProtocol> protocol = forget_protocol();
  release();
}

void SocketTransport::system_error(const char* call, int error) {
  const auto exception = std::make_exception_ptr(std::system_error(error, std::generic_category()));
  fatal_error(absl::StrCat("Fatal ", call, " error on socket transport").c_str(), exception);
}

std::string SocketTransport::text() const {
  std::string out = "<SocketTransport";
  if (!socket_.is_open()) {
    out += " closed";
  } else {
    if (closing_) out += " closing";
    absl::StrAppend(&out, " fd=", fd_);
    if (!lost_) {
      absl::StrAppend(&out, " read=", readable_.active() ? "polling" : "idle", " write=<",
                      writable_.active() ? "polling" : "idle", ", bufsize=", buffer_.size(), ">");
    }
  }
  return out + ">";
}

}  // namespace detail

std::string repr(const Transport& transport);

}  // namespace aiofiber
