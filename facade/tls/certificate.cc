// SPDX-License-Identifier: Apache-2.0
//
// Field by field.
#include "tls/certificate.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <memory>

namespace aiofiber::detail {

namespace {

struct OpenSslFree {
  void operator()(void* memory) const noexcept { OPENSSL_free(memory); }
};

std::string text_of(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, string);
  const std::unique_ptr<unsigned char, OpenSslFree> owner(utf8);
  return length > 0 ? std::string(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(length)) : "";
}

std::string bytes_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::vector<std::pair<std::string, std::string>> fields_of(const X509_NAME* name) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* const entry = X509_NAME_get_entry(name, i);
    const ASN1_OBJECT* const object = X509_NAME_ENTRY_get_object(entry);
    std::array<char, 128> key{};
    OBJ_obj2txt(key.data(), static_cast<int>(key.size()), object, 0);
    fields.emplace_back(key.data(), text_of(X509_NAME_ENTRY_get_data(entry)));
  }
  return fields;
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  const std::string bytes = bytes_of(address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (bytes.size() != sizeof(in_addr) && bytes.size() != sizeof(in6_addr)) return "<invalid>";
  inet_ntop(family, bytes.data(), text.data(), text.size());
  return text.data();
}

std::vector<std::pair<std::string, std::string>> alternative_names(X509& certificate) {
  std::vector<std::pair<std::string, std::string>> names;
  auto* const all =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  if (all == nullptr) return names;
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> owner(all, GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(all, i);
    switch (name->type) {
      case GEN_DNS:
        names.emplace_back("DNS", bytes_of(name->d.dNSName));
        break;
      case GEN_EMAIL:
        names.emplace_back("email", bytes_of(name->d.rfc822Name));
        break;
      case GEN_URI:
        names.emplace_back("URI", bytes_of(name->d.uniformResourceIdentifier));
        break;
      case GEN_IPADD:
        names.emplace_back("IP Address", address_text(name->d.iPAddress));
        break;
      default:
        break;
    }
  }
  return names;
}

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::sys_seconds(std::chrono::seconds(timegm(&parts)));
}

std::string serial_of(const X509& certificate) {
  const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr), BN_free);
  const std::unique_ptr<char, OpenSslFree> text(number != nullptr ? BN_bn2hex(number.get()) : nullptr);
  return text != nullptr ? text.get() : "";
}

std::string der_of(const X509& certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509(&certificate, &der);
  const std::unique_ptr<unsigned char, OpenSslFree> owner(der);
  return length > 0 ? std::string(reinterpret_cast<char*>(der), static_cast<std::size_t>(length)) : "";
}

}  // namespace

Certificate certificate_of(X509& certificate) {
  return {.subject = fields_of(X509_get_subject_name(&certificate)),
          .issuer = fields_of(X509_get_issuer_name(&certificate)),
          .subject_alt_names = alternative_names(certificate),
          .not_before = time_of(X509_get0_notBefore(&certificate)),
          .not_after = time_of(X509_get0_notAfter(&certificate)),
          .serial_number = serial_of(certificate),
          .version = static_cast<int>(X509_get_version(&certificate)) + 1,
          .der = der_of(certificate)};
}

}  // namespace aiofiber::detail
