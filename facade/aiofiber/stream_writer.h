// SPDX-License-Identifier: Apache-2.0
//
// StreamWriter: sends bytes on a connection. Source: asyncio.StreamWriter.
//
// A shared handle, as a future is. write() never blocks: what the kernel does not take is buffered, and
// drain() waits until the buffer is low again. So write in a loop as write(), then await(drain()). The
// connection is closed by close(). If the last handle goes without it, the connection is closed then, and a
// ResourceWarning is logged. Threads: the loop's.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/coroutine.h"
#include "aiofiber/stream_reader.h"
#include "aiofiber/transports.h"

namespace aiofiber {

namespace detail {

class StreamProtocol;

class StreamWriterState final : public Counted<StreamWriterState> {
 public:
  StreamWriterState(LoopCore& loop, Transport its_transport, std::shared_ptr<StreamProtocol> its_protocol);
  ~StreamWriterState();

  void drain();
  static Coro<void> drain_without_stack(runtime::Ref<StreamWriterState> writer);

  static Coro<void> start_tls(runtime::Ref<StreamWriterState> writer, SslContext context,
                              StartTlsOptions options);

  Transport transport;  // another one after start_tls()
  const std::shared_ptr<StreamProtocol> protocol;

 private:
  // Whether drain() has to wait. Throws the error of the connection.
  bool must_drain() const;

  const runtime::Ref<LoopCore> loop_;
};

struct WriterDrain {
  runtime::Ref<StreamWriterState> writer;
  void operator()() { writer->drain(); }
  Coro<void> stackless_form() { return StreamWriterState::drain_without_stack(std::move(writer)); }
};
struct WriterWaitClosed {
  std::shared_ptr<StreamProtocol> protocol;
  void operator()();
  Coro<void> stackless_form();
};

}  // namespace detail

// A handle of the bytes that go to the other side. Source: asyncio.StreamWriter.
class StreamWriter {
 public:
  explicit StreamWriter(runtime::Ref<detail::StreamWriterState> state) noexcept : state_(std::move(state)) {}

  // As Transport's functions of these names.
  void write(std::string_view bytes) const { transport().write(bytes); }
  void write(const char* text) const { transport().write(text); }
  void write(std::string&& bytes) const { transport().write(std::move(bytes)); }
  // As Transport::writelines().
  template <detail::RangeOfTexts R>
  requires(!std::convertible_to<R, std::string_view>) void writelines(R&& pieces) const {
    transport().writelines(std::forward<R>(pieces));
  }
  // As Transport::write_eof().
  void write_eof() const { transport().write_eof(); }
  // As Transport::can_write_eof().
  bool can_write_eof() const { return transport().can_write_eof(); }

  // Waits while the buffer is above its high-water mark, until it is at its low-water mark. Otherwise it does
  // not suspend; if the connection closes, for one pass, so that a loop of writes learns of its end.
  // Cancellation: a cancellation point when it suspends. Errors: the exception that ended the connection
  // (std::system_error, for example ECONNRESET); CancelledError.
  Coroutine<void> drain() const { return Coroutine<void>(detail::WriterDrain{state_}); }

  // Sends what is buffered, then closes the connection. Does not wait for that.
  void close() const { transport().close(); }
  // Whether it is closed or closing.
  bool is_closing() const { return transport().is_closing(); }
  // Waits until the connection is closed. Errors: as drain().
  Coroutine<void> wait_closed() const { return Coroutine<void>(detail::WriterWaitClosed{state_->protocol}); }

  // Encrypts the connection from now on, when what was written is sent and the handshake is done; both sides
  // must have agreed on it. What the reader has and was not read belongs to TLS. No other task may use the
  // reader or the writer meanwhile. Cancellation: a cancellation point; the connection is aborted. Errors: as
  // loop.start_tls().
  Coro<void> start_tls(SslContext context, StartTlsOptions options = {}) const {
    return detail::StreamWriterState::start_tls(state_, std::move(context), std::move(options));
  }

  // As Transport::get_extra_info().
  template <class T>
  std::optional<T> get_extra_info(ExtraInfo<T> key) const {
    return transport().get_extra_info(key);
  }
  // The transport below; another one after start_tls().
  const Transport& transport() const noexcept { return state_->transport; }

  friend bool operator==(const StreamWriter&, const StreamWriter&) noexcept = default;
  friend std::string repr(const StreamWriter& writer) {
    return "<StreamWriter transport=" + repr(writer.transport()) + ">";
  }

 private:
  runtime::Ref<detail::StreamWriterState> state_;
};
// The text that asyncio prints, with the transport.
std::string repr(const StreamWriter& writer);

}  // namespace aiofiber
