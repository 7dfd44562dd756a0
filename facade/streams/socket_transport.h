// SPDX-License-Identifier: Apache-2.0
//
// SocketTransport: the transport of a connected stream socket.
//
// States: open, closing (close() was called, and buffered bytes are still sent), lost (connection_lost() is
// due or was called). It reads once a pass while the socket is readable. It writes at once, and what is left
// when the socket is writable. The loop's list keeps it alive until the connection is lost. Source: asyncio's
// _SelectorSocketTransport. Threads: the loop's.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "aiofiber/duration.h"
#include "aiofiber/future.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/transports.h"
#include "streams/fd_watch.h"
#include "streams/stream_transport.h"
#include "streams/write_buffer.h"

namespace aiofiber::detail {

// A transport in the list of its server.
struct ConnectionLink : runtime::ListNode {
  explicit ConnectionLink(TransportState& its_transport) noexcept : transport(&its_transport) {}
  TransportState* transport;  // the outermost of the connection
};
// A server, as its connections see it.
class ConnectionOwner {
 public:
  virtual void attach(ConnectionLink& connection) noexcept = 0;
  virtual void detach(ConnectionLink& connection) noexcept = 0;

 protected:
  ~ConnectionOwner() = default;
};

class SocketTransport final : public StreamTransport, public OpenObject {
 public:
  // Calls connection_made() in the next pass, and reads from then on. `made`, if there is one, is then set.
  // TypeError: the protocol is of no known kind.
  static runtime::Ref<SocketTransport> open(LoopCore& loop, Socket socket,
                                            std::shared_ptr<BaseProtocol> protocol,
                                            std::shared_ptr<ConnectionOwner> owner = nullptr,
                                            Future<void> made = {});

  bool is_closing() const noexcept override { return closing_; }
  void close() override;
  void abort() override { force_close(nullptr); }
  bool is_reading() const noexcept override { return !closing_ && !eof_received_ && !paused_; }
  void pause_reading() override;
  void resume_reading() override;
  void write(std::string_view bytes, std::string* owned) override;
  bool can_write_eof() const noexcept override { return true; }
  void write_eof() override;
  bool eof_written() const noexcept { return eof_written_; }
  // The file's sender hears when the kernel takes bytes again. std::system_error.
  void wait_writable() { writable_.start(); }
  void end_file() noexcept override;
  std::size_t get_write_buffer_size() const noexcept override { return buffer_.size(); }
  std::optional<SocketAddress> peername() const override { return peername_; }
  std::optional<SocketAddress> sockname() const override { return sockname_; }
  std::optional<Socket> socket() const override {
    return socket_.is_open() ? std::optional(socket_) : std::nullopt;
  }
  int fd() const noexcept override { return socket_.fd(); }
  std::string text() const override;
  void stand_in(TransportState* outer) noexcept override {
    link_.transport = outer != nullptr ? outer : this;
  }

  void loop_closes() noexcept override;

 private:
  SocketTransport(LoopCore& loop, Socket socket);
  ~SocketTransport() override;

  void connection_made();
  void read_ready();
  void write_ready();
  void call_connection_lost();
  void receive(Protocol& protocol);
  void receive(BufferedProtocol& protocol);
  void end_of_stream();
  void start_reading();
  void lose(std::exception_ptr error);
  bool is_lost() const noexcept override { return lost_; }
  void force_close(std::exception_ptr error) override;
  void system_error(const char* call, int error);
  void release_socket() noexcept;

  Socket socket_;
  const int fd_;
  SocketAddress peername_, sockname_;
  FdWatch readable_;
  FdWatch writable_;
  runtime::Ref<HandleBase> lost_call_;
  WriteBuffer buffer_;
  std::shared_ptr<ConnectionOwner> owner_;
  ConnectionLink link_{*this};
  Future<void> made_;
  std::exception_ptr lost_error_;
  unsigned writes_after_loss_ = 0;
  bool connected_ = false;  // connection_made() was called, connection_lost() was not
  bool closing_ = false;
  bool lost_ = false;  // connection_lost() is due or was called
  bool paused_ = false;
  bool eof_received_ = false;
  bool eof_written_ = false;
};

// std::system_error ECONNRESET "Connection lost" and so on (Python's ConnectionResetError).
std::exception_ptr connection_reset(const char* text);

}  // namespace aiofiber::detail
