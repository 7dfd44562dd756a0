// SPDX-License-Identifier: Apache-2.0
//
// EventLoop::sendfile(): a file on a transport.
//
// The sender is the only one that writes meanwhile. The transport tells it when something has changed, and it
// looks at the transport after each wait and before each system call: a transport that is lost closes its
// socket, whose number may then be another connection's. Source: asyncio's loop.sendfile(),
// _sendfile_native() and _sendfile_fallback().
#include <absl/strings/str_cat.h>

#include <cerrno>
#include <system_error>

#include "aiofiber/event_loop.h"
#include "aiofiber/executor.h"
#include "aiofiber/sock_calls.h"
#include "aiofiber/wait_queue.h"
#include "sockets/file_to_send.h"
#include "streams/socket_transport.h"
#include "streams/stream_transport.h"

namespace aiofiber {

namespace detail {

namespace {

using runtime::Ref;

class Sending final : public FileSender {
 public:
  explicit Sending(StreamTransport& transport) : transport_(&transport) {
    transport.begin_file(*this);
    was_reading_ = transport.is_reading();
    if (was_reading_) transport.pause_reading();
  }
  ~Sending() {
    transport_->end_file();
    if (was_reading_ && !transport_->is_closing()) transport_->resume_reading();
  }
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;

  void transport_changed() noexcept override { waits_.wake(waits_.size()); }
  WaitQueue& waits() noexcept { return waits_; }
  void check_open() const {
    if (transport_->is_closing())
      throw std::system_error(ECONNRESET, std::generic_category(),
                              "the connection was closed while a file was sent");
  }

 private:
  const Ref<StreamTransport> transport_;
  bool was_reading_ = false;
  WaitQueue waits_{AIOFIBER_WAIT_OTHER, this};
};

// Until the transport has changed. std::system_error: it is closed.
Coro<void> change(LoopCore& loop, Sending& sending) {
  {
    WaitQueue::Waiter waiter(sending.waits(), loop);
    co_await waiter.woken_up();
  }
  sending.check_open();
}

Coro<std::size_t> send_by_copying(LoopCore& loop, Ref<StreamTransport> transport, Sending& sending,
                                  FileToSend job) {
  std::size_t sent = 0;
  const bool seekable = check_seekable(job);
  const PositionAtEnd at_end(job, sent, seekable);
  for (;;) {
    const std::size_t wanted = rest_of_file(job, sent, kPieceOfFile);
    if (wanted == 0) co_return sent;
    std::string piece =
        co_await loop.facade().run_in_executor(nullptr, &read_piece, job, sent, wanted, seekable);
    sending.check_open();
    if (piece.empty()) co_return sent;
    const auto [low, high] = transport->get_write_buffer_limits();
    if (transport->get_write_buffer_size() > high) {
      while (transport->get_write_buffer_size() > low) co_await change(loop, sending);
    }
    const std::size_t size = piece.size();
    transport->write_of_file(piece, &piece);
    sent += size;
  }
}

Coro<std::size_t> send_file(LoopCore& loop, Transport transport, FileToSend job) {
  check_same_loop(get_running_loop().core(), &loop, job.function);
  if (transport.is_closing()) throw RuntimeError("Transport is closing: sendfile() needs an open connection");
  const Ref<StreamTransport> stream(dynamic_cast<StreamTransport*>(&transport.state()));
  const Ref<SocketTransport> socket(dynamic_cast<SocketTransport*>(&transport.state()));
  if (!socket && transport.state().tls() == nullptr)
    throw RuntimeError(absl::StrCat("sendfile is not supported for transport ", transport.state().text(),
                                    ": it needs a stream socket"));
  if (&stream->loop() != &loop) throw RuntimeError("sendfile() on a transport of another loop");
  if (!socket && !job.fallback)
    throw SendfileNotAvailableError(
        absl::StrCat("fallback is disabled and native sendfile is not supported for transport ",
                     transport.state().text()));
  check_file_to_send(job);
  if (socket && socket->eof_written()) throw RuntimeError("Cannot call sendfile() after write_eof()");

  Sending sending(*stream);
  if (socket) {
    std::size_t sent = 0;
    const PositionAtEnd at_end(job, sent, true);
    while (stream->get_write_buffer_size() > 0) co_await change(loop, sending);
    FileStep step;
    while ((step = send_piece(job, sent)) != FileStep::kRefused) {
      if (step == FileStep::kAllSent) co_return sent;
      // Also if it took all: a peer that reads as fast must not keep the loop from its other tasks.
      socket->wait_writable();
      co_await change(loop, sending);
    }
  }
  co_return co_await send_by_copying(loop, stream, sending, job);
}

}  // namespace

}  // namespace detail

Coro<std::size_t> EventLoop::sendfile(Transport transport, int file, off_t offset,
                                      std::optional<std::size_t> count, bool fallback) {
  detail::FileToSend job{
      transport.valid() ? transport.state().fd() : -1, file, offset, count, fallback, "sendfile"};
  return detail::send_file(core(), std::move(transport), job);
}

}  // namespace aiofiber
