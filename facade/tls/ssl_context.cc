// SPDX-License-Identifier: Apache-2.0
//
// The settings of a context, each with OpenSSL's call for it.
#include "aiofiber/ssl.h"

#include <absl/strings/str_cat.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>

#include "aiofiber/exceptions.h"
#include "tls/ssl_error.h"
#include "tls/ssl_session.h"
#include "tls/tls_context.h"
#include "tls/tls_transport.h"

namespace aiofiber {

namespace detail {

// ---- the context ------------------------------------------------------------------------------------------

TlsContext::TlsContext(Purpose purpose)
    : server_(purpose == Purpose::CLIENT_AUTH),
      context_(SSL_CTX_new(server_ ? TLS_server_method() : TLS_client_method()), SSL_CTX_free) {
  if (context_ == nullptr) throw_ssl_error("cannot make a TLS context");
  SSL_CTX* const context = context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_SINGLE_DH_USE |
                                   SSL_OP_SINGLE_ECDH_USE);
  // The bytes of a write may have moved when it goes on; unused buffers of idle connections are freed.
  SSL_CTX_set_mode(context,
                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
  // A host's name counts only where certificates have it since 2000: among the alternative names.
  X509_VERIFY_PARAM* const checks = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_hostflags(checks,
                                  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  // Without a password it must not ask on the terminal.
  SSL_CTX_set_default_passwd_cb(context, &TlsContext::password_wanted);
  if (!server_) return;
  SSL_CTX_set_client_hello_cb(context, &TlsContext::hello_came, nullptr);
  SSL_CTX_set_alpn_select_cb(context, &TlsContext::select_alpn, this);
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                        reinterpret_cast<void (*)()>(&TlsContext::server_name_came));
  SSL_CTX_set_tlsext_servername_arg(context, this);
}

void TlsContext::check_side(bool server_side) const {
  if (server_side == server_) return;
  throw SSLError(server_side ? "Cannot create a server connection with a context for clients: make it with "
                               ".purpose = Purpose::CLIENT_AUTH"
                             : "Cannot create a client connection with a context for servers: make it with "
                               ".purpose = Purpose::SERVER_AUTH",
                 "", "");
}

int TlsContext::select_alpn(SSL*, const unsigned char** chosen, unsigned char* length,
                            const unsigned char* offered, unsigned offered_length, void* self) noexcept {
  const std::string& own = static_cast<TlsContext*>(self)->alpn_protocols;
  if (own.empty()) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, reinterpret_cast<const unsigned char*>(own.data()),
                            static_cast<unsigned>(own.size()), offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

int TlsContext::hello_came(SSL* connection, int* alert, void*) noexcept {
  if (set_session_scope(connection)) return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

int TlsContext::server_name_came(SSL* connection, int* alert, void* self) noexcept {
  const SslContext::SniCallback& callback = static_cast<TlsContext*>(self)->sni_callback;
  auto* const transport = static_cast<TlsTransport*>(SSL_get_app_data(connection));
  if (!callback || transport == nullptr) return SSL_TLSEXT_ERR_NOACK;
  if (transport->choose_context(callback)) return SSL_TLSEXT_ERR_OK;
  *alert = SSL_AD_HANDSHAKE_FAILURE;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int TlsContext::password_wanted(char* out, int size, int, void* password) noexcept {
  if (password == nullptr) return -1;
  const auto& text = *static_cast<const std::string*>(password);
  if (text.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(out, text.data(), text.size());
  return static_cast<int>(text.size());
}

TlsConnection TlsContext::wrap(const SslContext& context, LoopCore& loop,
                               std::shared_ptr<BaseProtocol> protocol, TlsSetup setup, Future<void> made) {
  return TlsTransport::make(context, loop, std::move(protocol), std::move(setup), std::move(made));
}

TlsContext& tls_context(const SslContext& context) {
  if (!context.valid())
    throw RuntimeError("this SslContext is empty: make one with SslContext::create_default_context()");
  return static_cast<TlsContext&>(*context.factory());
}

namespace {

int number_of(TLSVersion version) {
  switch (version) {
    case TLSVersion::TLSv1_2:
      return TLS1_2_VERSION;
    case TLSVersion::TLSv1_3:
      return TLS1_3_VERSION;
    default:
      return 0;
  }
}
TLSVersion version_of(long number, TLSVersion none) {
  if (number == TLS1_2_VERSION) return TLSVersion::TLSv1_2;
  return number == TLS1_3_VERSION ? TLSVersion::TLSv1_3 : none;
}

void check_path(const std::string& path) {
  if (path.find('\0') != std::string::npos) throw ValueError("embedded null byte in a file's name");
}
const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

// Certificates in memory. PEM if it says so, else DER, one after the other.
void trust(SSL_CTX* context, const std::string& certificates) {
  const std::unique_ptr<BIO, int (*)(BIO*)> memory(
      BIO_new_mem_buf(certificates.data(), static_cast<int>(certificates.size())), BIO_free);
  if (memory == nullptr) throw std::bad_alloc();
  const bool is_pem = certificates.find("-----BEGIN") != std::string::npos;
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  std::size_t count = 0;
  while (BIO_pending(memory.get()) > 0) {
    const std::unique_ptr<X509, void (*)(X509*)> one(
        is_pem ? PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)
               : d2i_X509_bio(memory.get(), nullptr),
        X509_free);
    if (one == nullptr) {
      const unsigned long error = ERR_peek_last_error();
      if (is_pem && count > 0 && ERR_GET_REASON(error) == PEM_R_NO_START_LINE) break;  // text behind the last
      throw_ssl_error("cadata has something that is no certificate");
    }
    if (X509_STORE_add_cert(store, one.get()) != 1) throw_ssl_error("a certificate of cadata was refused");
    ++count;
  }
}

}  // namespace

}  // namespace detail

using detail::SslCall;
using detail::tls_context;

SslContext SslContext::create_default_context(DefaultContextOptions options) {
  const SslCall call;
  auto factory = std::make_shared<detail::TlsContext>(options.purpose);
  SSL_CTX* const context = factory->get();
  SslContext result(std::move(factory));
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
                              X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_X509_STRICT);
  if (options.purpose == Purpose::SERVER_AUTH) result.set_check_hostname(true);
  if (!options.cafile.empty() || !options.capath.empty() || !options.cadata.empty()) {
    result.load_verify_locations(options.cafile, options.capath, options.cadata);
  } else if (options.purpose == Purpose::SERVER_AUTH) {
    result.load_default_certs();
  }
  return result;
}

void SslContext::load_cert_chain(const std::string& certfile, const std::string& keyfile,
                                 const std::string& password) const {
  SSL_CTX* const context = tls_context(*this).get();
  detail::check_path(certfile);
  detail::check_path(keyfile);
  if (certfile.empty()) throw ValueError("certfile must be given");
  if (password.size() > PEM_BUFSIZE)
    throw ValueError(absl::StrCat("password cannot be longer than ", PEM_BUFSIZE, " bytes"));
  const SslCall call;
  if (SSL_CTX_use_certificate_chain_file(context, certfile.c_str()) != 1)
    detail::throw_ssl_error(absl::StrCat("cannot load the certificate '", certfile, "'"));
  const std::string& key = keyfile.empty() ? certfile : keyfile;
  SSL_CTX_set_default_passwd_cb_userdata(context,
                                         password.empty() ? nullptr : const_cast<std::string*>(&password));
  const int loaded = SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
  if (loaded != 1 && password.empty() && ERR_GET_REASON(ERR_peek_error()) == ERR_R_INTERRUPTED_OR_CANCELLED)
    throw SSLError(absl::StrCat("cannot use the private key '", key,
                                "': [PEM: BAD_PASSWORD_READ] it is encrypted, and there is no password"),
                   "PEM", "BAD_PASSWORD_READ");
  if (loaded != 1 || SSL_CTX_check_private_key(context) != 1)
    detail::throw_ssl_error(absl::StrCat("cannot use the private key '", key, "'"));
}

void SslContext::load_verify_locations(const std::string& cafile, const std::string& capath,
                                       const std::string& cadata) const {
  SSL_CTX* const context = tls_context(*this).get();
  detail::check_path(cafile);
  detail::check_path(capath);
  if (cafile.empty() && capath.empty() && cadata.empty())
    throw ValueError("cafile, capath and cadata cannot be all omitted");
  const SslCall call;
  if (!cadata.empty()) detail::trust(context, cadata);
  if (cafile.empty() && capath.empty()) return;
  if (SSL_CTX_load_verify_locations(context, detail::or_null(cafile), detail::or_null(capath)) != 1)
    detail::throw_ssl_error(
        absl::StrCat("cannot load certificates from '", cafile.empty() ? capath : cafile, "'"));
}

void SslContext::load_default_certs() const {
  SSL_CTX* const context = tls_context(*this).get();
  const SslCall call;
  if (SSL_CTX_set_default_verify_paths(context) != 1)
    detail::throw_ssl_error("cannot load the system's certificates");
}

void SslContext::set_alpn_protocols(const std::vector<std::string>& protocols) const {
  detail::TlsContext& context = tls_context(*this);
  if (protocols.empty()) throw ValueError("set_alpn_protocols() needs a protocol");
  std::string sent;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255)
      throw ValueError("a name of an ALPN protocol has 1 to 255 bytes");
    sent += static_cast<char>(protocol.size());
    sent += protocol;
  }
  if (sent.size() > 65535) throw ValueError("the ALPN protocols are longer than 65535 bytes");
  const SslCall call;
  if (SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(sent.data()),
                              static_cast<unsigned>(sent.size())) != 0)
    throw std::bad_alloc();
  context.alpn_protocols = std::move(sent);
}

void SslContext::set_ciphers(const std::string& ciphers) const {
  SSL_CTX* const context = tls_context(*this).get();
  const SslCall call;
  if (SSL_CTX_set_cipher_list(context, ciphers.c_str()) != 1)
    detail::throw_ssl_error(absl::StrCat("no cipher can be selected from '", ciphers, "'"));
}

VerifyMode SslContext::verify_mode() const {
  const int mode = SSL_CTX_get_verify_mode(tls_context(*this).get());
  if ((mode & SSL_VERIFY_PEER) == 0) return CERT_NONE;
  return (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0 ? CERT_REQUIRED : CERT_OPTIONAL;
}
void SslContext::set_verify_mode(VerifyMode mode) const {
  detail::TlsContext& context = tls_context(*this);
  if (mode == CERT_NONE && context.check_hostname)
    throw ValueError("Cannot set verify_mode to CERT_NONE when check_hostname is enabled.");
  int flags = SSL_VERIFY_NONE;
  if (mode == CERT_OPTIONAL) flags = SSL_VERIFY_PEER;
  if (mode == CERT_REQUIRED) flags = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context.get(), flags, nullptr);
}

bool SslContext::check_hostname() const { return tls_context(*this).check_hostname; }
void SslContext::set_check_hostname(bool check) const {
  if (check && verify_mode() == CERT_NONE) set_verify_mode(CERT_REQUIRED);
  tls_context(*this).check_hostname = check;
}

TLSVersion SslContext::minimum_version() const {
  return detail::version_of(SSL_CTX_get_min_proto_version(tls_context(*this).get()),
                            TLSVersion::MINIMUM_SUPPORTED);
}
void SslContext::set_minimum_version(TLSVersion version) const {
  // No older one than TLS 1.2.
  const int number = version == TLSVersion::MINIMUM_SUPPORTED   ? TLS1_2_VERSION
                     : version == TLSVersion::MAXIMUM_SUPPORTED ? TLS1_3_VERSION
                                                                : detail::number_of(version);
  if (SSL_CTX_set_min_proto_version(tls_context(*this).get(), number) != 1)
    throw ValueError("unsupported version of TLS");
}
TLSVersion SslContext::maximum_version() const {
  return detail::version_of(SSL_CTX_get_max_proto_version(tls_context(*this).get()),
                            TLSVersion::MAXIMUM_SUPPORTED);
}
void SslContext::set_maximum_version(TLSVersion version) const {
  const int number = version == TLSVersion::MINIMUM_SUPPORTED ? TLS1_2_VERSION : detail::number_of(version);
  if (SSL_CTX_set_max_proto_version(tls_context(*this).get(), number) != 1)
    throw ValueError("unsupported version of TLS");
}

std::size_t SslContext::num_tickets() const { return SSL_CTX_get_num_tickets(tls_context(*this).get()); }
void SslContext::set_num_tickets(std::size_t count) const {
  detail::TlsContext& context = tls_context(*this);
  if (!context.is_for_servers()) throw ValueError("a context for clients has no tickets to give");
  SSL_CTX_set_num_tickets(context.get(), count);
}

void SslContext::set_sni_callback(SniCallback callback) const {
  tls_context(*this).sni_callback = std::move(callback);
}

}  // namespace aiofiber
