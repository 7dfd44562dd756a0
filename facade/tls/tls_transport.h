// SPDX-License-Identifier: Apache-2.0
//
// TlsTransport: the transport of an encrypted connection, between a protocol and the transport of a socket.
//
// OpenSSL reads from and writes to memory (a BIO of its own kind). What comes on the wire is decrypted into
// the protocol's memory at once. What the protocol writes is encrypted at once while the wire takes it, and
// waits as plain text otherwise. States: handshake, open, flushing (close() was called, text still waits),
// shutdown (the closing message is sent, the peer's is awaited), closed. The wire's transport keeps `wire`,
// which keeps this object. A call into the protocol or to the wire may end the connection: look at the state
// after it. Source: asyncio's SSLProtocol. Threads: the loop's.
#pragma once

#include <openssl/ssl.h>

#include <exception>
#include <memory>
#include <span>
#include <string>

#include "aiofiber/future.h"
#include "aiofiber/handle.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/transports.h"
#include "streams/stream_transport.h"
#include "streams/tls_factory.h"
#include "streams/write_buffer.h"

namespace aiofiber::detail {

class TlsTransport final : public StreamTransport, public TlsSession {
 public:
  static TlsConnection make(const SslContext& context, LoopCore& loop, std::shared_ptr<BaseProtocol> protocol,
                            TlsSetup setup, Future<void> made);

  // ---- TransportState
  bool is_closing() const noexcept override { return state_ != State::kHandshake && state_ != State::kOpen; }
  void close() override;
  void abort() override { force_close(nullptr); }
  bool is_reading() const noexcept override { return !is_closing() && !paused_; }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  void write(std::string_view bytes, std::string* owned) override;
  bool can_write_eof() const noexcept override { return false; }
  void write_eof() override;
  void set_write_buffer_limits(WriteBufferLimits limits) override;
  std::size_t get_write_buffer_size() const noexcept override;
  std::optional<SocketAddress> peername() const override;
  std::optional<SocketAddress> sockname() const override;
  std::optional<Socket> socket() const override;
  int fd() const noexcept override { return wire_.valid() ? wire_.state().fd() : -1; }
  std::string text() const override;
  const TlsSession* tls() const noexcept override { return this; }
  void stand_in(TransportState* outer) noexcept override;

  // ---- TlsSession
  SslContext context() const override { return context_; }
  std::optional<Cipher> cipher() const override;
  std::optional<Certificate> peer_certificate() const override;
  std::string alpn_protocol() const override;
  std::string version() const override;
  std::optional<SslSession> session() const override;
  bool session_reused() const override { return SSL_session_reused(ssl_.get()) != 0; }

  // ---- what the wire tells
  void wire_made(Transport wire);
  void wire_received(std::string_view bytes);
  void wire_ended();
  void wire_lost(std::exception_ptr error);
  void wire_paused() noexcept { wire_paused_ = true; }
  void wire_resumed();
  // The wire's transport forgot this one, perhaps because the loop closes: nothing is called any more.
  void wire_gone() noexcept;

  // ---- what OpenSSL asks for
  // As BIO_read() and BIO_write(). -1: nothing is there; no memory.
  int take_received(char* out, int size) noexcept;
  int put_encrypted(const char* bytes, int size) noexcept;
  // Calls the program's function for the name that the client asks for. False: it refused.
  bool choose_context(const SslContext::SniCallback& callback) noexcept;

 private:
  enum class State : unsigned char { kHandshake, kOpen, kFlushing, kShutdown, kClosed };

  TlsTransport(const SslContext& context, LoopCore& loop, TlsSetup setup, Future<void> made);
  ~TlsTransport() override;

  void set_up_connection();
  void set_timer(Duration delay, void (TlsTransport::*member)());
  void handshake_is_late();
  void shutdown_is_late();

  // Goes on with whatever the state is about, as far as the bytes that came allow.
  void advance();
  void read_waiting() { advance(); }
  void do_handshake();
  void handshake_is_done();
  // False: no more to read now.
  bool read_some();
  bool receive(Protocol& protocol);
  bool receive(BufferedProtocol& protocol);
  void discard_some();
  // Decrypts into memory as much as is there. 0: nothing was, or the stream ended (peer_closed_), or failed
  // (the connection is ended).
  std::size_t decrypt(std::span<char> into);
  bool nothing_received() const noexcept;

  // The number of bytes that were encrypted: less than all if the wire is full.
  std::size_t encrypt(std::string_view bytes);
  void send_waiting();
  void send_encrypted();
  void begin_shutdown();
  void shut_down_if_flushed();

  // The error of the OpenSSL call that just failed.
  std::exception_ptr take_error();
  bool is_lost() const noexcept override { return state_ == State::kClosed; }
  // The protocol hears the end from the wire.
  void force_close(std::exception_ptr error) override;
  bool is_from_outside(const std::exception_ptr& error) const noexcept override;

  SslContext context_;
  const std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
  TlsSetup setup_;
  Future<void> made_;
  Transport wire_;
  TimerHandle timer_;
  runtime::Ref<HandleBase> read_call_;
  std::string received_;         // what came and waits while reading is paused,
  std::size_t received_at_ = 0;  // from here on; it comes before
  std::string_view arriving_;    // what came just now
  std::string encrypted_;        // for the wire, during a call of OpenSSL
  WriteBuffer waiting_;          // not empty: the wire is paused
  std::exception_ptr end_error_;
  std::exception_ptr callback_error_;
  unsigned writes_after_close_ = 0;
  State state_ = State::kHandshake;
  bool connected_ = false;  // the protocol has a connection
  bool advancing_ = false;
  bool paused_ = false;
  bool wire_paused_ = false;
  bool wire_ended_ = false;
  bool peer_closed_ = false;  // its closing message came
  bool all_sent_ = false;     // in shutdown: the kernel has it all
  bool no_memory_ = false;
};

}  // namespace aiofiber::detail
