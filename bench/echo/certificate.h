// SPDX-License-Identifier: Apache-2.0
//
// A certificate and its key for the servers of the TLS echo, in files that are removed at the end. Made anew
// in each run: the project keeps no keys. P-256, as most servers have; the handshake is not measured.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

namespace echo {

class CertificateFiles {
 public:
  CertificateFiles() {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
    check(key != nullptr && certificate != nullptr);
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24L * 60 * 60);
    X509_NAME* const name = X509_get_subject_name(certificate.get());
    const std::string host = "localhost";
    check(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     reinterpret_cast<const unsigned char*>(host.c_str()), -1, -1, 0) == 1);
    X509_set_issuer_name(certificate.get(), name);
    X509_set_pubkey(certificate.get(), key.get());
    check(X509_sign(certificate.get(), key.get(), EVP_sha256()) != 0);
    write(certificate_, [&](FILE* file) { return PEM_write_X509(file, certificate.get()); });
    write(key_, [&](FILE* file) {
      return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  ~CertificateFiles() {
    for (const std::string& path : {certificate_, key_}) ::unlink(path.c_str());
  }
  CertificateFiles(const CertificateFiles&) = delete;
  CertificateFiles& operator=(const CertificateFiles&) = delete;

  const std::string& certificate() const { return certificate_; }
  const std::string& key() const { return key_; }

 private:
  static void check(bool is_good) {
    if (!is_good) throw std::runtime_error("no certificate could be made");
  }
  template <class Write>
  static void write(std::string& path, Write write_to) {
    path = "/tmp/echo_bench.XXXXXX";
    const int fd = ::mkstemp(path.data());
    check(fd >= 0);
    const std::unique_ptr<FILE, int (*)(FILE*)> file(::fdopen(fd, "w"), std::fclose);
    check(file != nullptr && write_to(file.get()) == 1);
  }

  std::string certificate_, key_;
};

}  // namespace echo
