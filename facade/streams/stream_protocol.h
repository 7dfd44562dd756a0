// SPDX-License-Identifier: Apache-2.0
//
// StreamProtocol: the protocol between a transport on one side, and a StreamReader and a StreamWriter on the
// other.
//
// It reads into the reader's buffer, and knows whether the transport's own buffer is too full for drain().
// For a connection of a server it calls the server's function when the connection is there. Source:
// asyncio.StreamReaderProtocol.
#pragma once

#include <exception>
#include <functional>
#include <memory>

#include "aiofiber/protocols.h"
#include "aiofiber/stream_reader.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber::detail {

class StreamProtocol final : public BufferedProtocol, public std::enable_shared_from_this<StreamProtocol> {
 public:
  // Called in connection_made(), for a server.
  using Connected = std::function<void(StreamProtocol&, Transport)>;

  StreamProtocol(runtime::Ref<StreamReaderState> reader, Connected connected)
      : reader_(std::move(reader)), connected_(std::move(connected)), server_side_(connected_ != nullptr) {}

  void connection_made(Transport transport) override;
  void connection_lost(std::exception_ptr error) override;
  void pause_writing() override { paused_ = true; }
  void resume_writing() override;
  std::span<char> get_buffer(std::size_t) override { return reader_->buffer.free_end(); }
  void buffer_updated(std::size_t bytes) override;
  bool eof_received() override;

  const runtime::Ref<StreamReaderState>& reader() const noexcept { return reader_; }
  // Whether a server accepted the connection.
  bool server_side() const noexcept { return server_side_; }
  // The reader pauses and resumes this one from now on. Nothing if the connection is lost.
  void use_transport(const Transport& transport);

  // Whether drain() has to wait. Throws the error of a lost connection.
  bool must_drain() const;
  void drain();
  static Coro<void> drain_without_stack(std::shared_ptr<StreamProtocol> protocol);

  // Suspends until connection_lost(), and throws its error.
  void wait_closed();
  static Coro<void> wait_closed_without_stack(std::shared_ptr<StreamProtocol> protocol);

 private:
  void check_lost_error() const {
    if (lost_error_ != nullptr) std::rethrow_exception(lost_error_);
  }

  runtime::Ref<StreamReaderState> reader_;
  Connected connected_;
  const bool server_side_;
  bool paused_ = false;
  bool lost_ = false;
  std::exception_ptr lost_error_;
  LoopBound bound_;
  WaitQueue drainers_{AIOFIBER_WAIT_OTHER, this};
  WaitQueue closers_{AIOFIBER_WAIT_OTHER, this};
};

}  // namespace aiofiber::detail
