// SPDX-License-Identifier: Apache-2.0
//
// Transport: an open connection that sends bytes and calls a protocol with those that come.
//
// A shared handle, as a future is. The loop keeps an open transport: dropping the handle does not close it.
// Writing never blocks and never suspends: what the kernel does not take at once is buffered. Source:
// asyncio's "Transports". Threads: the loop's. Members of a transport whose loop has closed do nothing, or
// tell what was.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/protocols.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/socket.h"
#include "aiofiber/ssl.h"

namespace aiofiber {

// A key of get_extra_info() and the type of its value.
template <class T>
struct ExtraInfo {
  const char* name;  // asyncio's name of it
};
namespace extra_info {
inline constexpr ExtraInfo<SocketAddress> peername{"peername"};  // the address of the other side
inline constexpr ExtraInfo<SocketAddress> sockname{"sockname"};  // the own address
// The open socket itself. Whoever reads or writes on it disturbs the transport.
inline constexpr ExtraInfo<Socket> socket{"socket"};
// Of a connection with TLS: its context, its cipher, the peer's certificate (nullopt: the peer has shown
// none), the protocol that both agreed upon (set_alpn_protocols()), and the version of TLS ("TLSv1.3").
inline constexpr ExtraInfo<SslContext> sslcontext{"sslcontext"};
inline constexpr ExtraInfo<Cipher> cipher{"cipher"};                     // with its protocol and its bits
inline constexpr ExtraInfo<Certificate> peercert{"peercert"};            // nullopt: none was shown
inline constexpr ExtraInfo<std::string> alpn_protocol{"alpn_protocol"};  // nullopt: none was agreed upon
inline constexpr ExtraInfo<std::string> ssl_version{"ssl_version"};      // "TLSv1.3"
// Of a client with TLS: the newest session that the server has given (nullopt: none). With TLS 1.3 it comes
// behind the handshake: it is there when the first bytes were read.
inline constexpr ExtraInfo<SslSession> ssl_session{"session"};
// Whether this connection began with a session of an earlier one.
inline constexpr ExtraInfo<bool> ssl_session_reused{"session_reused"};
}  // namespace extra_info

// High: above it pause_writing() is called. Low: at or below it resume_writing() is called. In bytes; absent:
// high is 4 times low, or 64 KiB, and low is a quarter of high.
struct WriteBufferLimits {
  std::optional<std::size_t> high = std::nullopt;  // bytes
  std::optional<std::size_t> low = std::nullopt;   // bytes
};

namespace detail {

template <class R>
concept RangeOfTexts = requires(R& range) {
  std::string_view(*std::begin(range));
  std::end(range);
};

// What every transport can do; Transport below says what each function means.
class TransportState {
 public:
  TransportState() = default;
  TransportState(const TransportState&) = delete;
  TransportState& operator=(const TransportState&) = delete;
  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

  virtual bool is_closing() const noexcept = 0;
  virtual void close() = 0;
  virtual void abort() = 0;
  virtual bool is_reading() const noexcept = 0;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  // `owned`: the same bytes, in a string that may be taken; or null.
  virtual void write(std::string_view bytes, std::string* owned) = 0;
  virtual bool can_write_eof() const noexcept = 0;
  virtual void write_eof() = 0;
  virtual void set_write_buffer_limits(WriteBufferLimits limits) = 0;
  virtual std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept = 0;
  virtual std::size_t get_write_buffer_size() const noexcept = 0;
  virtual void set_protocol(std::shared_ptr<BaseProtocol> protocol) = 0;
  virtual std::shared_ptr<BaseProtocol> get_protocol() const = 0;
  virtual std::optional<SocketAddress> peername() const = 0;
  virtual std::optional<SocketAddress> sockname() const = 0;
  virtual std::optional<Socket> socket() const = 0;
  virtual int fd() const noexcept = 0;  // -1: closed
  virtual std::string text() const = 0;
  // Null: without TLS.
  virtual const TlsSession* tls() const noexcept { return nullptr; }
  // Who ends this connection from outside (a server, all of its clients) ends `outer` instead. Null: this
  // one.
  virtual void stand_in(TransportState* outer) noexcept { static_cast<void>(outer); }

 protected:
  virtual ~TransportState() = default;

 private:
  std::uint32_t references_ = 0;
};

}  // namespace detail

// A handle of one connection below a protocol. Source: asyncio.Transport.
class Transport {
 public:
  // No transport; every function but valid() throws RuntimeError.
  Transport() noexcept = default;
  explicit Transport(runtime::Ref<detail::TransportState> state) noexcept : state_(std::move(state)) {}
  bool valid() const noexcept { return static_cast<bool>(state_); }  // false: a handle of no transport

  // Whether it is closed or closing.
  bool is_closing() const { return state().is_closing(); }
  // Reads no more, sends what is buffered, then closes: connection_lost(nullptr) is called later.
  void close() const { state().close(); }
  // Closes at once; buffered bytes are dropped. connection_lost(nullptr) is called later.
  void abort() const { state().abort(); }

  // False while paused, and from the end of the stream on.
  bool is_reading() const { return state().is_reading(); }
  // Calls the protocol with no more data until resume_reading(). Each does nothing the second time.
  void pause_reading() const { state().pause_reading(); }
  // Goes on after pause_reading().
  void resume_reading() const { state().resume_reading(); }

  // Sends bytes, now or later, after those of earlier calls. A string that is moved in need not be copied.
  // After the connection was lost the bytes are dropped, with a warning in the log from the fifth time on.
  // RuntimeError: after write_eof().
  void write(std::string_view bytes) const { state().write(bytes, nullptr); }
  void write(const char* text) const { state().write(text, nullptr); }
  void write(std::string&& bytes) const { state().write(bytes, &bytes); }
  // write() of all pieces, one behind the other.
  template <detail::RangeOfTexts R>
  void writelines(R&& pieces) const {
    std::string all;
    for (auto&& piece : pieces) all += std::string_view(piece);
    write(std::move(all));
  }
  // Sends the end of the stream after what is buffered; reading goes on. can_write_eof(): whether the
  // transport knows such an end.
  void write_eof() const { state().write_eof(); }
  // Whether write_eof() is possible.
  bool can_write_eof() const { return state().can_write_eof(); }

  // ValueError: high is below low.
  void set_write_buffer_limits(WriteBufferLimits limits) const { state().set_write_buffer_limits(limits); }
  // Low and high.
  std::pair<std::size_t, std::size_t> get_write_buffer_limits() const {
    return state().get_write_buffer_limits();
  }
  // Bytes that wait for room in the kernel.
  std::size_t get_write_buffer_size() const { return state().get_write_buffer_size(); }

  // The next calls go to another protocol. TypeError: it is neither a Protocol nor a BufferedProtocol.
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) const {
    state().set_protocol(std::move(protocol));
  }
  // Null after connection_lost().
  std::shared_ptr<BaseProtocol> get_protocol() const { return state().get_protocol(); }

  // What is known of the connection: get_extra_info(extra_info::peername). The names stay known after
  // close(); the socket does not. nullopt: the transport has no such thing.
  // Differs from asyncio: the key of get_extra_info() is a constant that knows the type of the value.
  std::optional<SocketAddress> get_extra_info(ExtraInfo<SocketAddress> key) const {
    return key.name == extra_info::peername.name ? state().peername() : state().sockname();
  }
  std::optional<Socket> get_extra_info(ExtraInfo<Socket>) const { return state().socket(); }
  std::optional<SslContext> get_extra_info(ExtraInfo<SslContext>) const {
    const detail::TlsSession* const tls = state().tls();
    return tls != nullptr ? std::optional(tls->context()) : std::nullopt;
  }
  std::optional<Cipher> get_extra_info(ExtraInfo<Cipher>) const {
    const detail::TlsSession* const tls = state().tls();
    return tls != nullptr ? tls->cipher() : std::nullopt;
  }
  std::optional<Certificate> get_extra_info(ExtraInfo<Certificate>) const {
    const detail::TlsSession* const tls = state().tls();
    return tls != nullptr ? tls->peer_certificate() : std::nullopt;
  }
  std::optional<SslSession> get_extra_info(ExtraInfo<SslSession>) const {
    const detail::TlsSession* const tls = state().tls();
    return tls != nullptr ? tls->session() : std::nullopt;
  }
  std::optional<bool> get_extra_info(ExtraInfo<bool>) const {
    const detail::TlsSession* const tls = state().tls();
    return tls != nullptr ? std::optional(tls->session_reused()) : std::nullopt;
  }
  std::optional<std::string> get_extra_info(ExtraInfo<std::string> key) const {
    const detail::TlsSession* const tls = state().tls();
    if (tls == nullptr) return std::nullopt;
    std::string text = key.name == extra_info::ssl_version.name ? tls->version() : tls->alpn_protocol();
    return text.empty() ? std::nullopt : std::optional(std::move(text));
  }

  friend bool operator==(const Transport&, const Transport&) noexcept = default;
  friend std::string repr(const Transport& transport) {
    return transport.valid() ? transport.state_->text() : "<Transport empty>";
  }
  detail::TransportState& state() const {
    if (!state_) throw_empty();
    return *state_;
  }

 private:
  [[noreturn]] static void throw_empty();
  runtime::Ref<detail::TransportState> state_;
};
// The text that asyncio prints, with the descriptor and the state.
std::string repr(const Transport& transport);

}  // namespace aiofiber
