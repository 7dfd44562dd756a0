// SPDX-License-Identifier: Apache-2.0
//
// The handshake, both directions of the bytes, and the two ways in which a connection ends.
#include "tls/tls_transport.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <openssl/bio.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "sockets/idna.h"
#include "streams/fd_watch.h"
#include "streams/socket_transport.h"
#include "tls/certificate.h"
#include "tls/ssl_error.h"
#include "tls/ssl_session.h"
#include "tls/tls_context.h"

namespace aiofiber::detail {

using runtime::Ref;

namespace {

constexpr std::size_t kMostReceived = 64 * 1024;   // in one read of the wire
constexpr std::size_t kMostDecrypted = 64 * 1024;  // for one data_received()
constexpr std::size_t kMostEncrypted = 64 * 1024;  // in one write to the wire
constexpr std::size_t kKeptForWriting = 4 * 1024;
constexpr Duration kHandshakeTimeout = std::chrono::seconds(60);
constexpr Duration kShutdownTimeout = std::chrono::seconds(30);

// One for all connections of the thread, each used for less than a pass.
std::span<char> thread_memory() {
  static thread_local std::unique_ptr<char[]> memory;
  if (memory == nullptr) memory = std::make_unique_for_overwrite<char[]>(kMostReceived);
  return {memory.get(), kMostReceived};
}
std::span<char> decrypted_memory() {
  static thread_local std::unique_ptr<char[]> memory;
  if (memory == nullptr) memory = std::make_unique_for_overwrite<char[]>(kMostDecrypted);
  return {memory.get(), kMostDecrypted};
}

// ---- OpenSSL's reading and writing ------------------------------------------------------------------------

TlsTransport& transport_of(BIO* bio) { return *static_cast<TlsTransport*>(BIO_get_data(bio)); }

int bio_read(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  const int count = transport_of(bio).take_received(out, size);
  if (count <= 0) BIO_set_retry_read(bio);
  return count;
}
int bio_write(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  return transport_of(bio).put_encrypted(bytes, size);
}
long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

BIO_METHOD* make_bio_method() {
  BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "aiofiber");
  if (method == nullptr) throw std::bad_alloc();
  BIO_meth_set_read(method, bio_read);
  BIO_meth_set_write(method, bio_write);
  BIO_meth_set_ctrl(method, bio_control);
  BIO_meth_set_create(method, bio_create);
  return method;
}
BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = make_bio_method();  // as long as the process
  return method;
}

// The protocol of the wire's transport.
class Wire final : public BufferedProtocol {
 public:
  explicit Wire(Ref<TlsTransport> transport) noexcept : transport_(std::move(transport)) {}
  ~Wire() override { transport_->wire_gone(); }
  void connection_made(Transport wire) override { transport_->wire_made(std::move(wire)); }
  void connection_lost(std::exception_ptr error) override { transport_->wire_lost(std::move(error)); }
  void pause_writing() override { transport_->wire_paused(); }
  void resume_writing() override { transport_->wire_resumed(); }
  std::span<char> get_buffer(std::size_t) override { return thread_memory(); }
  void buffer_updated(std::size_t bytes) override {
    transport_->wire_received({thread_memory().data(), bytes});
  }
  bool eof_received() override {
    transport_->wire_ended();
    return true;
  }

 private:
  const Ref<TlsTransport> transport_;
};

}  // namespace

// ---- the beginning ----------------------------------------------------------------------------------------

TlsTransport::TlsTransport(const SslContext& context, LoopCore& loop, TlsSetup setup, Future<void> made)
    : StreamTransport(loop),
      context_(context),
      ssl_(SSL_new(tls_context(context).get()), SSL_free),
      setup_(std::move(setup)),
      made_(std::move(made)),
      read_call_(new MemberHandle<TlsTransport, &TlsTransport::read_waiting>(loop, *this)) {}

TlsTransport::~TlsTransport() {
  read_call_->cancel();
  timer_.cancel();
}

TlsConnection TlsTransport::make(const SslContext& context, LoopCore& loop,
                                 std::shared_ptr<BaseProtocol> protocol, TlsSetup setup, Future<void> made) {
  const SslCall call;
  const Ref<TlsTransport> transport(new TlsTransport(context, loop, std::move(setup), std::move(made)));
  transport->set_protocol(std::move(protocol));
  transport->connected_ = !transport->setup_.call_connection_made;
  transport->received_ = std::move(transport->setup_.received);
  transport->set_up_connection();
  return {transport, std::make_shared<Wire>(transport)};
}

void TlsTransport::set_up_connection() {
  SSL* const ssl = ssl_.get();
  BIO* const bio = ssl != nullptr ? BIO_new(bio_method()) : nullptr;
  if (bio == nullptr) throw_ssl_error("cannot make a TLS connection");
  BIO_set_data(bio, this);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_app_data(ssl, this);
  if (setup_.server_side) return SSL_set_accept_state(ssl);
  SSL_set_connect_state(ssl);

  const std::string host = host_in_ascii(setup_.server_hostname.value_or(""));
  const bool check = tls_context(context_).check_hostname;
  if (setup_.session.valid()) offer_session(ssl, setup_.session.data(), context_, host);
  if (host.empty()) {
    if (check) throw ValueError("check_hostname requires server_hostname");
    return;
  }
  if (host.front() == '.' || host.find('\0') != std::string::npos)
    throw ValueError("server_hostname cannot start with a dot or have a null byte");
  X509_VERIFY_PARAM* const checks = SSL_get0_param(ssl);
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ERR_clear_error();
  if (address != nullptr) {
    const absl::Cleanup free_it = [address] { ASN1_OCTET_STRING_free(address); };
    if (check && X509_VERIFY_PARAM_set1_ip(checks, ASN1_STRING_get0_data(address),
                                           static_cast<std::size_t>(ASN1_STRING_length(address))) != 1)
      throw_ssl_error("server_hostname");
    return;
  }
  if (SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(host.c_str())) != 1)
    throw_ssl_error("server_hostname");
  if (check && X509_VERIFY_PARAM_set1_host(checks, host.c_str(), host.size()) != 1)
    throw_ssl_error("server_hostname");
}

void TlsTransport::set_timer(Duration delay, void (TlsTransport::*member)()) {
  timer_.cancel();
  timer_ = loop_->facade().call_later(delay, [self = Ref<TlsTransport>(this), member] {
    const Ref<TlsTransport> keep = self;
    (*keep.*member)();
  });
}

void TlsTransport::wire_made(Transport wire) {
  if (state_ != State::kHandshake) return wire.abort();
  wire_ = std::move(wire);
  wire_.state().stand_in(this);
  // The wire is full as soon as it has more than our low mark, and takes more when it is at it. So it has
  // both marks there, and each time that we must tell the protocol something we are called.
  wire_.set_write_buffer_limits({.high = low_mark(), .low = low_mark()});
  set_timer(setup_.handshake_timeout.value_or(kHandshakeTimeout), &TlsTransport::handshake_is_late);
  advance();
}

void TlsTransport::handshake_is_late() {
  const Duration limit = setup_.handshake_timeout.value_or(kHandshakeTimeout);
  std::string seconds = absl::StrCat(limit.seconds());
  if (seconds.find_first_of(".e") == std::string::npos) seconds += ".0";  // as Python writes a float
  fatal_error("SSL handshake failed", std::make_exception_ptr(std::system_error(
                                          ECONNABORTED, std::generic_category(),
                                          absl::StrCat("SSL handshake is taking longer than ", seconds,
                                                       " seconds: aborting the connection"))));
}

void TlsTransport::do_handshake() {
  std::exception_ptr error;
  bool done = false;
  {
    const SslCall call;
    const int result = SSL_do_handshake(ssl_.get());
    done = result == 1;
    if (!done && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) error = take_error();
  }
  send_encrypted();  // also the alert that tells the peer why
  if (state_ != State::kHandshake) return;
  if (error != nullptr) {
    fatal_error("SSL handshake failed", error);
  } else if (done) {
    handshake_is_done();
  } else if (wire_ended_) {
    fatal_error("SSL handshake failed",
                connection_reset("The peer closed the connection during the TLS handshake"));
  }
}

void TlsTransport::handshake_is_done() {
  timer_.cancel();
  state_ = State::kOpen;
  const Future<void> made = std::exchange(made_, {});
  if (!std::exchange(connected_, true))
    call_protocol("connection_made",
                  [&] { protocol_->connection_made(Transport(Ref<TransportState>(this))); });
  if (made.valid() && !made.done()) made.set_result();
}

bool TlsTransport::choose_context(const SslContext::SniCallback& callback) noexcept {
  try {
    const char* const name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
    const SslContext chosen = callback(name != nullptr ? std::optional<std::string>(name) : std::nullopt);
    if (!chosen.valid()) return true;
    const TlsContext& context = tls_context(chosen);
    context.check_side(true);
    if (SSL_set_SSL_CTX(ssl_.get(), context.get()) == nullptr) return false;
    // Not all settings of a context follow by themselves.
    SSL_set_verify(ssl_.get(), SSL_CTX_get_verify_mode(context.get()), nullptr);
    SSL_set_min_proto_version(ssl_.get(), SSL_CTX_get_min_proto_version(context.get()));
    SSL_set_max_proto_version(ssl_.get(), SSL_CTX_get_max_proto_version(context.get()));
    context_ = chosen;
    return true;
  } catch (const SSLError& error) {
    // The program's fault, not the peer's: it must be reported.
    callback_error_ = std::make_exception_ptr(RuntimeError(error.what()));
    return false;
  } catch (...) {
    callback_error_ = std::current_exception();
    return false;
  }
}

// ---- reading ----------------------------------------------------------------------------------------------

int TlsTransport::take_received(char* out, int size) noexcept {
  const std::string_view waiting = std::string_view(received_).substr(received_at_);
  const std::string_view from = waiting.empty() ? arriving_ : waiting;
  const std::size_t count = std::min(from.size(), static_cast<std::size_t>(size));
  if (count == 0) return -1;
  std::copy_n(from.data(), count, out);
  if (waiting.empty()) {
    arriving_.remove_prefix(count);
  } else if (received_at_ += count; received_at_ == received_.size()) {
    received_ = {};
    received_at_ = 0;
  }
  return static_cast<int>(count);
}

bool TlsTransport::nothing_received() const noexcept { return received_.empty() && arriving_.empty(); }

void TlsTransport::wire_received(std::string_view bytes) {
  const Ref<TlsTransport> keep(this);
  arriving_ = bytes;
  const absl::Cleanup forget = [this] { arriving_ = {}; };  // also if an exception leaves the loop
  advance();
  if (state_ == State::kClosed || arriving_.empty()) return;
  received_.append(arriving_);
  // Reading is paused: no more until it goes on.
  wire_.pause_reading();
}

void TlsTransport::wire_ended() {
  wire_ended_ = true;
  advance();
}

void TlsTransport::advance() {
  if (advancing_) return;  // a call into the protocol came back here; the outer one goes on
  advancing_ = true;
  const Ref<TlsTransport> keep(this);
  const absl::Cleanup done = [this] { advancing_ = false; };
  if (state_ == State::kHandshake) do_handshake();
  while (state_ == State::kOpen && !paused_ && read_some()) {
  }
  if (state_ == State::kOpen && peer_closed_) {
    bool stays_open = false;  // whatever it says: TLS has no half-closed connections
    call_eof_received(stays_open);
    if (state_ == State::kOpen) begin_shutdown();
  }
  if (state_ == State::kOpen && wire_ended_ && !paused_ && nothing_received())
    return fatal_error("The connection was cut", ssl_eof_error());
  if (state_ == State::kFlushing || state_ == State::kShutdown) discard_some();
}

bool TlsTransport::read_some() {
  // No memory is asked for if nothing can come.
  if (nothing_received() && SSL_has_pending(ssl_.get()) == 0) return false;
  return buffered_ != nullptr ? receive(*buffered_) : receive(*plain_);
}

bool TlsTransport::receive(Protocol& protocol) {
  const std::span<char> memory = decrypted_memory();
  const std::size_t count = decrypt(memory);
  if (count == 0) return false;
  return call_protocol("data_received", [&] { protocol.data_received({memory.data(), count}); });
}

bool TlsTransport::receive(BufferedProtocol& protocol) {
  const std::span<char> memory = call_get_buffer(protocol, kMostDecrypted);
  if (memory.empty() || state_ != State::kOpen) return false;
  const std::size_t count = decrypt(memory);
  if (count == 0) return false;
  return call_protocol("buffer_updated", [&] { protocol.buffer_updated(count); });
}

std::size_t TlsTransport::decrypt(std::span<char> into) {
  std::size_t count = 0;
  std::exception_ptr error;
  {
    const SslCall call;
    while (count < into.size()) {
      std::size_t more = 0;
      const int result = SSL_read_ex(ssl_.get(), into.data() + count, into.size() - count, &more);
      if (result == 1) {
        count += more;
        continue;
      }
      const int reason = SSL_get_error(ssl_.get(), result);
      if (reason == SSL_ERROR_ZERO_RETURN) {
        peer_closed_ = true;
      } else if (reason != SSL_ERROR_WANT_READ) {
        error = take_error();
      }
      break;
    }
  }
  send_encrypted();  // OpenSSL answers some messages by itself
  if (error == nullptr) return count;
  // What came before the fault is good, but the protocol hears of the fault at once: as with a lost
  // connection.
  fatal_error("Fatal read error on TLS connection", error);
  return 0;
}

void TlsTransport::discard_some() {
  // Not the thread's memory: the protocol of another connection may have closed this one while it looks at
  // that.
  std::array<char, 4096> discarded;
  while (!peer_closed_ && state_ != State::kClosed && decrypt(discarded) > 0) {
  }
  if (state_ == State::kShutdown && (peer_closed_ || wire_ended_)) {
    timer_.cancel();
    state_ = State::kClosed;
    wire_.close();
  }
}

void TlsTransport::resume_reading() {
  paused_ = false;
  if (is_closing() || !wire_.valid()) return;
  wire_.resume_reading();
  read_call_->schedule_again();
}

// ---- writing ----------------------------------------------------------------------------------------------

int TlsTransport::put_encrypted(const char* bytes, int size) noexcept {
  try {
    encrypted_.append(bytes, static_cast<std::size_t>(size));
    return size;
  } catch (const std::bad_alloc&) {
    no_memory_ = true;
    return -1;
  }
}

void TlsTransport::send_encrypted() {
  if (encrypted_.empty() || !wire_.valid()) return;
  std::string bytes = std::exchange(encrypted_, {});
  try {
    wire_.state().write(bytes, &bytes);
  } catch (const std::bad_alloc&) {
    // The peer would take what follows for a forgery.
    return fatal_error("Fatal write error on TLS connection", std::current_exception());
  }
  bytes.clear();
  if (encrypted_.empty() && bytes.capacity() <= kKeptForWriting) encrypted_.swap(bytes);
}

std::size_t TlsTransport::encrypt(std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size() && !wire_paused_ && (state_ == State::kOpen || state_ == State::kFlushing)) {
    const std::string_view piece = bytes.substr(done, kMostEncrypted);
    std::exception_ptr error;
    {
      const SslCall call;
      std::size_t written = 0;
      const int result = SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &written);
      if (result != 1) error = take_error();
    }
    if (error != nullptr) {
      fatal_error("Fatal write error on TLS connection", error);
      return bytes.size();
    }
    done += piece.size();
    send_encrypted();
  }
  return done;
}

void TlsTransport::write(std::string_view bytes, std::string* owned) {
  check_no_file();
  if (bytes.empty()) return;
  if (state_ != State::kOpen) {
    constexpr unsigned kWritesBeforeTheWarning = 5;
    if (writes_after_close_ >= kWritesBeforeTheWarning) log(LogLevel::WARNING, "SSL connection is closed");
    ++writes_after_close_;
    return;
  }
  const Ref<TlsTransport> keep(this);
  const std::size_t sent = waiting_.empty() ? encrypt(bytes) : 0;
  if (state_ != State::kOpen) return;
  if (sent < bytes.size()) {
    if (owned != nullptr) {
      waiting_.append(std::move(*owned), sent);
    } else {
      waiting_.append(bytes.substr(sent));
    }
  }
  maybe_pause_protocol();
}

void TlsTransport::send_waiting() {
  while (!waiting_.empty() && !wire_paused_ && (state_ == State::kOpen || state_ == State::kFlushing)) {
    std::array<iovec, 1> first;
    const iovec piece = waiting_.pieces(first).front();
    const std::size_t sent = encrypt({static_cast<const char*>(piece.iov_base), piece.iov_len});
    if (state_ == State::kClosed) return;  // an error has emptied the buffer
    waiting_.consume(sent);
  }
}

void TlsTransport::wire_resumed() {
  const Ref<TlsTransport> keep(this);
  wire_paused_ = false;
  send_waiting();
  if (state_ == State::kOpen) maybe_resume_protocol();
  shut_down_if_flushed();
  if (state_ == State::kShutdown && wire_.get_write_buffer_size() == 0) all_sent_ = true;
}

void TlsTransport::write_eof() {
  throw RuntimeError("TLS has no half-closed connections: close() the transport instead of write_eof()");
}

std::size_t TlsTransport::get_write_buffer_size() const noexcept {
  return waiting_.size() + (wire_.valid() ? wire_.state().get_write_buffer_size() : 0);
}

void TlsTransport::set_write_buffer_limits(WriteBufferLimits limits) {
  StreamTransport::set_write_buffer_limits(limits);
  if (wire_.valid()) wire_.set_write_buffer_limits({.high = low_mark(), .low = low_mark()});
}

// ---- the end ----------------------------------------------------------------------------------------------

void TlsTransport::close() {
  if (state_ == State::kHandshake) return force_close(nullptr);
  if (state_ != State::kOpen) return;
  const Ref<TlsTransport> keep(this);
  begin_shutdown();
  if (!advancing_) advance();
}

void TlsTransport::begin_shutdown() {
  state_ = State::kFlushing;
  tell_file_sender();
  // The peer's closing message comes behind what nobody reads any more.
  paused_ = false;
  wire_.resume_reading();
  try {
    set_timer(setup_.shutdown_timeout.value_or(kShutdownTimeout), &TlsTransport::shutdown_is_late);
  } catch (const std::bad_alloc&) {
    return force_close(std::current_exception());  // without a limit it might never end
  }
  shut_down_if_flushed();
}

void TlsTransport::shut_down_if_flushed() {
  if (state_ != State::kFlushing || !waiting_.empty()) return;
  state_ = State::kShutdown;
  std::exception_ptr error;
  {
    const SslCall call;
    if (SSL_shutdown(ssl_.get()) < 0) error = take_error();
  }
  // Without our message the peer would wait for it.
  if (error != nullptr) return fatal_error("Fatal error at the end of a TLS connection", error);
  send_encrypted();
  if (state_ != State::kShutdown) return;
  all_sent_ = wire_.get_write_buffer_size() == 0;
  if (peer_closed_ || wire_ended_) {
    timer_.cancel();
    state_ = State::kClosed;
    wire_.close();
  }
}

void TlsTransport::shutdown_is_late() {
  force_close(std::make_exception_ptr(TimeoutError("SSL shutdown timed out")));
}

std::exception_ptr TlsTransport::take_error() {
  if (std::exchange(no_memory_, false)) return std::make_exception_ptr(std::bad_alloc());
  if (callback_error_ != nullptr) return std::exchange(callback_error_, nullptr);
  return ssl_error("", ssl_.get(), setup_.server_hostname.value_or(""));
}

bool TlsTransport::is_from_outside(const std::exception_ptr& error) const noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const SSLError&) {
    return true;
  } catch (...) {
    return StreamTransport::is_from_outside(error);
  }
}

void TlsTransport::force_close(std::exception_ptr error) {
  if (state_ == State::kClosed && !wire_.valid()) return;
  const Ref<TlsTransport> keep(this);
  timer_.cancel();
  const bool in_handshake = std::exchange(state_, State::kClosed) == State::kHandshake;
  waiting_.clear();
  tell_file_sender();
  if (end_error_ == nullptr) end_error_ = error;
  if (in_handshake && made_.valid() && !made_.done())
    made_.set_exception(error != nullptr ? error : connection_reset("Connection lost"));
  made_ = {};
  if (wire_.valid()) wire_.abort();
}

void TlsTransport::wire_lost(std::exception_ptr error) {
  const Ref<TlsTransport> keep(this);
  // The peer need not wait for our closing message, when it has all the rest.
  if (state_ == State::kShutdown && all_sent_) error = nullptr;
  if (end_error_ != nullptr) error = std::exchange(end_error_, nullptr);
  if (state_ == State::kHandshake && made_.valid() && !made_.done())
    made_.set_exception(error != nullptr ? error : connection_reset("Connection lost"));
  const bool was_connected = connected_;
  const std::shared_ptr<BaseProtocol> protocol = protocol_;
  wire_gone();
  // Last, because it may throw: the handle reports that.
  if (was_connected && protocol != nullptr) protocol->connection_lost(error);
}

void TlsTransport::wire_gone() noexcept {
  state_ = State::kClosed;
  tell_file_sender();
  timer_.cancel();
  read_call_->cancel();
  made_ = {};
  waiting_.clear();
  received_ = {};
  received_at_ = 0;
  connected_ = false;
  forget_protocol();
}

// ---- what is known ----------------------------------------------------------------------------------------

void TlsTransport::stand_in(TransportState* outer) noexcept {
  if (wire_.valid()) wire_.state().stand_in(outer != nullptr ? outer : this);
}

std::optional<SocketAddress> TlsTransport::peername() const {
  return wire_.valid() ? wire_.state().peername() : std::nullopt;
}
std::optional<SocketAddress> TlsTransport::sockname() const {
  return wire_.valid() ? wire_.state().sockname() : std::nullopt;
}
std::optional<Socket> TlsTransport::socket() const {
  return wire_.valid() ? wire_.state().socket() : std::nullopt;
}

std::optional<Cipher> TlsTransport::cipher() const {
  const SSL_CIPHER* const cipher = SSL_get_current_cipher(ssl_.get());
  if (cipher == nullptr) return std::nullopt;
  return Cipher{SSL_CIPHER_get_name(cipher), SSL_CIPHER_get_version(cipher),
                SSL_CIPHER_get_bits(cipher, nullptr)};
}

std::optional<Certificate> TlsTransport::peer_certificate() const {
  const SslCall call;
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  return certificate != nullptr ? std::optional(certificate_of(*certificate)) : std::nullopt;
}

std::string TlsTransport::alpn_protocol() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::string TlsTransport::version() const {
  return SSL_is_init_finished(ssl_.get()) != 0 ? SSL_get_version(ssl_.get()) : "";
}

std::optional<SslSession> TlsTransport::session() const {
  if (setup_.server_side) return std::nullopt;
  const SslCall call;
  return session_of(ssl_.get(), context_, setup_.server_hostname.value_or(""));
}

std::string TlsTransport::text() const {
  constexpr std::array<const char*, 5> kNames = {"handshake", "open", "closing", "closing", "closed"};
  return absl::StrCat("<TlsTransport ", kNames[static_cast<std::size_t>(state_)],
                      wire_.valid() ? absl::StrCat(" on ", wire_.state().text()) : "", ">");
}

}  // namespace aiofiber::detail
