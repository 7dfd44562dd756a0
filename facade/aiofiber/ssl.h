// SPDX-License-Identifier: Apache-2.0
//
// SslContext: how connections are encrypted, whom they trust, and as whom they present themselves (TLS).
//
// Give one to open_connection(), start_server() and start_tls(). Its functions are in the library
// aiofiber::tls (pkg-config: aiofiber-tls), which the program links in addition; it stands on OpenSSL. A
// context is a shared handle: set it up first, then use it for any number of connections, also of several
// loops on several threads. Names and meanings are those of Python's module ssl. TLS 1.2 is the oldest
// version that a new context takes, and a peer cannot renegotiate.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/duration.h"

namespace aiofiber {

namespace detail {
class TlsFactory;
}

// ---- errors

// What OpenSSL refused: "[SSL: WRONG_VERSION_NUMBER] wrong version number" (ssl.SSLError).
class SSLError : public std::runtime_error {
 public:
  // OpenSSL's part and its reason in capitals; empty where OpenSSL gave none.
  SSLError(const std::string& text, std::string library, std::string reason);
  // "SSL", "X509", "PEM", ...
  const std::string& library() const noexcept { return names_->first; }
  // "CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", ...
  const std::string& reason() const noexcept { return names_->second; }

 private:
  using Names = std::pair<std::string, std::string>;
  std::shared_ptr<const Names> names_;  // shared: copying an exception must not throw
};

// The connection ended without the peer's closing message: what came may be only a part of what was sent. An
// attacker can cut a connection like this (ssl.SSLEOFError).
class SSLEOFError : public SSLError {
 public:
  using SSLError::SSLError;
};

// The peer's certificate is not good (ssl.SSLCertVerificationError).
class SSLCertVerificationError : public SSLError {
 public:
  // As SSLError; `code` and `message`: what the two functions below give.
  SSLCertVerificationError(const std::string& text, std::string library, std::string reason, int code,
                           std::string message);
  // OpenSSL's number (X509_V_ERR_...), and what it means: "certificate has expired".
  int verify_code() const noexcept { return code_; }
  // What verify_code() means, in OpenSSL's words.
  const std::string& verify_message() const noexcept { return *message_; }

 private:
  int code_;
  std::shared_ptr<const std::string> message_;
};

// ---- settings

// What the peer must show. Of a client's context: the server's certificate; CERT_OPTIONAL is CERT_REQUIRED
// there. Of a server's context: the client's certificate, with CERT_OPTIONAL only if the client has one.
enum VerifyMode { CERT_NONE = 0, CERT_OPTIONAL = 1, CERT_REQUIRED = 2 };

// The versions that a context may allow.
enum class TLSVersion { MINIMUM_SUPPORTED, TLSv1_2, TLSv1_3, MAXIMUM_SUPPORTED };

// SERVER_AUTH: for clients, which check a server. CLIENT_AUTH: for servers.
enum class Purpose { SERVER_AUTH, CLIENT_AUTH };

// The arguments of SslContext::create_default_context().
struct DefaultContextOptions {
  Purpose purpose = Purpose::SERVER_AUTH;  // which side the context is for
  // Whom to trust: a file of certificates, a folder of them, or certificates in PEM or DER. All empty: a
  // client trusts whom the system trusts.
  std::string cafile = {};
  // A folder, as `openssl rehash` makes it.
  std::string capath = {};
  std::string cadata = {};  // the certificates themselves
};

// ---- what is known of a connection

// How a connection is encrypted (SSLSocket.cipher()).
struct Cipher {
  std::string name;      // "TLS_AES_256_GCM_SHA384"
  std::string protocol;  // "TLSv1.3"
  int secret_bits = 0;   // the length of the key
  friend bool operator==(const Cipher&, const Cipher&) = default;
};

// The peer's certificate. With CERT_NONE nobody has checked it.
struct Certificate {
  // Pairs of a field and its value, in the order of the certificate: {"commonName", "example.org"}.
  std::vector<std::pair<std::string, std::string>> subject;
  std::vector<std::pair<std::string, std::string>> issuer;  // who signed it, as `subject`
  // {"DNS", "example.org"}, {"IP Address", "127.0.0.1"}, {"email", ...}, {"URI", ...}.
  std::vector<std::pair<std::string, std::string>> subject_alt_names;
  std::chrono::sys_seconds not_before;  // valid from then
  std::chrono::sys_seconds not_after;   // valid until then
  std::string serial_number;            // in hexadecimal
  int version = 0;                      // 3
  std::string der;                      // the certificate itself
};

namespace detail {
struct TlsSessionData;
}

// What a client and a server agreed upon. With it a later connection of the client begins faster: no
// certificate is sent and checked (ssl.SSLSession). A connection gives it: get_extra_info(
// extra_info::ssl_session); the option `ssl_session` of another connection takes it. The server may refuse
// it; then, and if it has expired or is of another server_hostname or other checks, the handshake is a whole
// one. It may be used for several connections, but an observer can tell then that they are of one client.
//
// A shared handle that never changes. Lifetime: it keeps its context. Threads: any.
class SslSession {
 public:
  // No session. Every function but valid() throws RuntimeError.
  SslSession() noexcept = default;
  bool valid() const noexcept { return data_ != nullptr; }     // false: no session
  explicit operator bool() const noexcept { return valid(); }  // as valid()

  const std::string& id() const;  // as bytes
  // When it was made, by the system's clock.
  std::chrono::sys_seconds time() const;
  // How long this client may use it.
  std::chrono::seconds timeout() const;
  // Whether the server gave it as a ticket.
  bool has_ticket() const;
  // How long the ticket is good; 0: the server did not say.
  std::chrono::seconds ticket_lifetime_hint() const;

  // The same session, by its id.
  friend bool operator==(const SslSession& one, const SslSession& other) noexcept {
    return one.equals(other);
  }

  explicit SslSession(std::shared_ptr<const detail::TlsSessionData> data) noexcept : data_(std::move(data)) {}
  const detail::TlsSessionData& data() const;

 private:
  bool equals(const SslSession& other) const noexcept;
  std::shared_ptr<const detail::TlsSessionData> data_;
};

// The settings of TLS connections: certificates, checks, versions (ssl.SSLContext). A shared handle: copies
// mean the same context.
class SslContext {
 public:
  // A name that a client asked for, or nullopt. Gives the context for this connection; an empty one: as it
  // is.
  using SniCallback = std::function<SslContext(std::optional<std::string> server_name)>;

  // No context. Every function but valid() throws RuntimeError.
  SslContext() noexcept = default;
  // The settings that one should have. For clients: CERT_REQUIRED, the name of the host is checked, and
  // certificates are checked strictly. Errors: std::system_error: a file cannot be read; SSLError: it has no
  // certificate.
  static SslContext create_default_context(DefaultContextOptions options = {});

  bool valid() const noexcept { return factory_ != nullptr; }  // false: no context
  explicit operator bool() const noexcept { return valid(); }  // as valid()

  // The own certificate, followed in its file by those that link it to one the peer trusts, and its private
  // key, in PEM. An empty keyfile: the key is in certfile. The password is for a key that is encrypted, and
  // nobody is asked for it. ValueError: it has more than 1024 bytes.
  // Errors: std::system_error: a file cannot be read; SSLError: it has no certificate or key, the password is
  // wrong or missing, or the key is another certificate's.
  void load_cert_chain(const std::string& certfile, const std::string& keyfile = {},
                       const std::string& password = {}) const;
  // Trusts these certificates as well. ValueError: all three are empty; SSLError, std::system_error: as
  // above.
  void load_verify_locations(const std::string& cafile, const std::string& capath = {},
                             const std::string& cadata = {}) const;
  // Trusts whom the system trusts.
  void load_default_certs() const;

  // The protocols that may be spoken inside, best first ("h2", "http/1.1"). A server takes the first of its
  // own that the client names, and goes on without one if it names none of them. ValueError: none, an empty
  // one, or one above 255 bytes.
  void set_alpn_protocols(const std::vector<std::string>& protocols) const;
  // Of TLS 1.2, in OpenSSL's notation. SSLError: no cipher is left.
  void set_ciphers(const std::string& ciphers) const;

  VerifyMode verify_mode() const;  // what the peer must show
  // ValueError: CERT_NONE while the host's name is checked.
  void set_verify_mode(VerifyMode mode) const;
  bool check_hostname() const;  // whether the certificate must be the host's
  // True also sets CERT_REQUIRED if it was CERT_NONE.
  void set_check_hostname(bool check) const;
  // The oldest version that is spoken, and the newest.
  TLSVersion minimum_version() const;
  // TLS 1.2 or later. ValueError: OpenSSL does not have the version.
  void set_minimum_version(TLSVersion version) const;
  // See minimum_version().
  TLSVersion maximum_version() const;
  // TLS 1.2 or later. ValueError: OpenSSL does not have the version.
  void set_maximum_version(TLSVersion version) const;
  // Of a server: how many sessions a client of TLS 1.3 gets behind the handshake; 2 in a new context, 0:
  // none. A session is good for 2 hours, for connections that ask for the same server name. ValueError: a
  // context for clients.
  std::size_t num_tickets() const;
  // See num_tickets().
  void set_num_tickets(std::size_t count) const;
  // Of a server: called when a client begins, on the loop's stack. An exception refuses the client, which
  // hears of a handshake failure, and is reported to the loop's exception handler. An empty function: none.
  void set_sni_callback(SniCallback callback) const;

  friend bool operator==(const SslContext&, const SslContext&) noexcept = default;

  explicit SslContext(std::shared_ptr<detail::TlsFactory> factory) noexcept : factory_(std::move(factory)) {}
  const std::shared_ptr<detail::TlsFactory>& factory() const noexcept { return factory_; }

 private:
  std::shared_ptr<detail::TlsFactory> factory_;
};

// Of loop.start_tls() and writer.start_tls().
struct StartTlsOptions {
  // Absent: a writer knows whether its connection was accepted by a server; the loop takes it as false.
  std::optional<bool> server_side = std::nullopt;
  // The name that the server's certificate must have; beyond ASCII as in getaddrinfo() (resolve.h).
  std::optional<std::string> server_hostname = std::nullopt;
  // How long the handshake, and the exchange of closing messages, may take. 60 s and 30 s if absent.
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  // See ssl_handshake_timeout.
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
  SslSession ssl_session = {};  // of a client
};

namespace detail {
struct TlsSessionData {
  std::shared_ptr<TlsFactory> factory;  // of the context
  std::shared_ptr<const void> native;   // OpenSSL's; nobody changes it
  // For which server, and what was checked: another connection must ask for the same.
  std::string server_hostname;
  VerifyMode verify_mode = CERT_NONE;
  bool check_hostname = false;
  // What SslSession tells.
  std::string id;
  std::chrono::sys_seconds time;
  std::chrono::seconds timeout;
  std::chrono::seconds ticket_lifetime_hint;
  bool has_ticket = false;
};

// What a program gave of TLS, among the options of a connection or a server.
struct TlsOptions {
  SslContext ssl = {};
  std::optional<std::string> server_hostname = std::nullopt;
  std::optional<Duration> ssl_handshake_timeout = std::nullopt;
  std::optional<Duration> ssl_shutdown_timeout = std::nullopt;
  SslSession ssl_session = {};
  std::string host = {};  // the default of server_hostname
};
template <class Options>
TlsOptions client_tls_options(const Options& options, std::string host = {}) {
  return {.ssl = options.ssl,
          .server_hostname = options.server_hostname,
          .ssl_handshake_timeout = options.ssl_handshake_timeout,
          .ssl_shutdown_timeout = options.ssl_shutdown_timeout,
          .ssl_session = options.ssl_session,
          .host = std::move(host)};
}
template <class Options>
TlsOptions server_tls_options(const Options& options) {
  return {.ssl = options.ssl,
          .ssl_handshake_timeout = options.ssl_handshake_timeout,
          .ssl_shutdown_timeout = options.ssl_shutdown_timeout};
}

// What a transport with TLS knows of its connection.
class TlsSession {
 public:
  virtual SslContext context() const = 0;
  virtual std::optional<Cipher> cipher() const = 0;
  virtual std::optional<Certificate> peer_certificate() const = 0;
  // The protocol that both sides agreed upon, and the version of TLS. Empty: none.
  virtual std::string alpn_protocol() const = 0;
  virtual std::string version() const = 0;
  // Of a client, when the server has given one.
  virtual std::optional<SslSession> session() const = 0;
  virtual bool session_reused() const = 0;

 protected:
  ~TlsSession() = default;
};
}  // namespace detail

}  // namespace aiofiber
