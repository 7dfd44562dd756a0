// SPDX-License-Identifier: Apache-2.0
//
// The texts are Python's: "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has
// expired". The reason in capitals is OpenSSL's reason with underscores.
#include "tls/ssl_error.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <system_error>

#include "aiofiber/ssl.h"

namespace aiofiber {

SSLError::SSLError(const std::string& text, std::string library, std::string reason)
    : std::runtime_error(text),
      names_(std::make_shared<const Names>(std::move(library), std::move(reason))) {}

SSLCertVerificationError::SSLCertVerificationError(const std::string& text, std::string library,
                                                   std::string reason, int code, std::string message)
    : SSLError(text, std::move(library), std::move(reason)),
      code_(code),
      message_(std::make_shared<const std::string>(std::move(message))) {}

namespace detail {

namespace {

std::string library_name(unsigned long error) {
  switch (ERR_GET_LIB(error)) {
    case ERR_LIB_SSL:
      return "SSL";
    case ERR_LIB_X509:
      return "X509";
    case ERR_LIB_X509V3:
      return "X509V3";
    case ERR_LIB_PEM:
      return "PEM";
    case ERR_LIB_EVP:
      return "EVP";
    case ERR_LIB_ASN1:
      return "ASN1";
    case ERR_LIB_RSA:
      return "RSA";
    case ERR_LIB_EC:
      return "EC";
    case ERR_LIB_BIO:
      return "BIO";
    case ERR_LIB_PROV:
      return "PROV";
    case ERR_LIB_OSSL_DECODER:
      return "DECODER";
    default:
      break;
  }
  const char* const name = ERR_lib_error_string(error);
  return name != nullptr ? absl::AsciiStrToUpper(name) : "";
}

std::string verify_text(long code, const std::string& host) {
  if (code == X509_V_ERR_HOSTNAME_MISMATCH)
    return absl::StrCat("Hostname mismatch, certificate is not valid for '", host, "'");
  if (code == X509_V_ERR_IP_ADDRESS_MISMATCH)
    return absl::StrCat("IP address mismatch, certificate is not valid for '", host, "'");
  return X509_verify_cert_error_string(code);
}

}  // namespace

std::exception_ptr ssl_error(const std::string& what, const SSL* connection, const std::string& host) {
  unsigned long error = 0;
  while (const unsigned long next = ERR_get_error()) {
    // Of a file the first tells the cause; of a connection the last, as in Python.
    if (error == 0 || connection != nullptr) error = next;
    if (ERR_SYSTEM_ERROR(next)) {
      return std::make_exception_ptr(std::system_error(ERR_GET_REASON(next), std::generic_category(), what));
    }
  }
  if (error == 0) return std::make_exception_ptr(SSLError(what.empty() ? "unknown error" : what, "", ""));
  const char* const text = ERR_reason_error_string(error);
  const std::string reason = text != nullptr ? text : absl::StrCat("error ", ERR_GET_REASON(error));
  const std::string capitals = absl::StrReplaceAll(absl::AsciiStrToUpper(reason), {{" ", "_"}});
  const std::string library = library_name(error);
  std::string message = absl::StrCat("[", library, ": ", capitals, "] ", reason);
  if (connection != nullptr && ERR_GET_LIB(error) == ERR_LIB_SSL &&
      ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const long code = SSL_get_verify_result(connection);
    const std::string meaning = verify_text(code, host);
    absl::StrAppend(&message, ": ", meaning);
    return std::make_exception_ptr(
        SSLCertVerificationError(message, library, capitals, static_cast<int>(code), meaning));
  }
  if (!what.empty()) message = absl::StrCat(what, ": ", message);
  return std::make_exception_ptr(SSLError(message, library, capitals));
}

void throw_ssl_error(const std::string& what) { std::rethrow_exception(ssl_error(what)); }

std::exception_ptr ssl_eof_error() {
  return std::make_exception_ptr(
      SSLEOFError("[SSL: UNEXPECTED_EOF_WHILE_READING] the connection ended without the peer's closing "
                  "message: what came "
                  "may be incomplete",
                  "SSL", "UNEXPECTED_EOF_WHILE_READING"));
}

}  // namespace detail
}  // namespace aiofiber
