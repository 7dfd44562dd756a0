// SPDX-License-Identifier: Apache-2.0
//
// PipeTransport: the transport of one end of a pipe; it either reads or writes.
//
// It also serves sockets and character devices (a terminal) that are used in one direction. The end of a
// writing pipe is noticed without a write: the kernel reports it when the last reader closes. Writing never
// raises SIGPIPE. States and lifetime are those of SocketTransport.
// Source: asyncio's _UnixReadPipeTransport and _UnixWritePipeTransport. Threads: the loop's.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "aiofiber/loop_core.h"
#include "aiofiber/transports.h"
#include "streams/descriptor.h"
#include "streams/fd_watch.h"
#include "streams/stream_transport.h"
#include "streams/write_buffer.h"

namespace aiofiber::detail {

class PipeTransport final : public StreamTransport, public OpenObject {
 public:
  enum class Direction : unsigned char { kRead, kWrite };

  // Takes over the descriptor and makes it non-blocking. The protocol hears nothing before start(). Errors,
  // after which the descriptor is still the caller's: TypeError: a protocol of no known kind; ValueError: not
  // a pipe, a socket or a character device; std::system_error: EBADF.
  static runtime::Ref<PipeTransport> open(LoopCore& loop, Direction direction, Descriptor&& pipe,
                                          std::shared_ptr<BaseProtocol> protocol);
  // Calls connection_made() now, and reads from then on.
  void start();

  bool is_closing() const noexcept override { return closing_; }
  void close() override;
  void abort() override { force_close(nullptr); }
  bool is_reading() const noexcept override { return reads() && !closing_ && !paused_; }
  void pause_reading() override;
  void resume_reading() override;
  void write(std::string_view bytes, std::string* owned) override;
  bool can_write_eof() const noexcept override { return !reads(); }
  void write_eof() override;
  std::size_t get_write_buffer_size() const noexcept override { return buffer_.size(); }
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
  std::optional<SocketAddress> peername() const override { return std::nullopt; }
  std::optional<SocketAddress> sockname() const override { return std::nullopt; }
  std::optional<Socket> socket() const override { return std::nullopt; }
  int fd() const noexcept override { return pipe_.fd(); }
  std::string text() const override;

  void loop_closes() noexcept override;

 private:
  PipeTransport(LoopCore& loop, Direction direction, Descriptor& pipe);
  ~PipeTransport() override;

  bool reads() const noexcept { return direction_ == Direction::kRead; }
  void readable();
  void writable();
  void call_connection_lost();
  std::span<char> memory_for_bytes();
  void receive();
  void end_of_stream();
  void start_watch(FdWatch& watch);
  void lose(std::exception_ptr error);
  bool is_lost() const noexcept override { return lost_; }
  void force_close(std::exception_ptr error) override;
  void system_error(const char* call, int error);
  void release_pipe() noexcept;

  const Direction direction_;
  bool sees_reader_close_ = false;  // a writing pipe or socket: `readable` means that the other end is closed
  bool connected_ = false;          // connection_made() was called, connection_lost() was not
  bool closing_ = false;
  bool lost_ = false;  // connection_lost() is due or was called
  bool paused_ = false;
  unsigned writes_after_loss_ = 0;
  Descriptor pipe_;
  FdWatch readable_;
  FdWatch writable_;
  runtime::Ref<HandleBase> lost_call_;
  WriteBuffer buffer_;
  std::exception_ptr lost_error_;
};

}  // namespace aiofiber::detail
