// SPDX-License-Identifier: Apache-2.0
//
// Certificates for tests, made when a test begins and removed with its folder: an authority, and what it
// signs. There are no keys in the repository.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

namespace aiofiber {

class Certificates {
 public:
  struct Made {
    std::shared_ptr<X509> certificate;
    std::shared_ptr<EVP_PKEY> key;
    std::string file;  // certificate and key, PEM
  };
  struct Wish {
    std::string name = "localhost";
    std::string alternative = "DNS:localhost,IP:127.0.0.1";
    int begins_in_s = -3600;
    int ends_in_s = 24 * 3600;
    bool self_signed = false;
    bool authority = false;
    const Made* signed_by = nullptr;  // null: the test's authority
  };

  Certificates() {
    char folder[] = "/tmp/aiofiber_tls_XXXXXX";
    folder_ = ::mkdtemp(folder);
    authority_ = make({.name = "Test Authority", .alternative = "", .self_signed = true, .authority = true});
    server_ = make({});
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  static Certificates& get() {
    static Certificates all;
    return all;
  }

  const std::string& folder() const { return folder_; }
  const std::string& authority() const { return authority_.file; }
  const std::string& server() const { return server_.file; }
  const Made& server_certificate() const { return server_; }

  // A file with the key alone, encrypted.
  std::string encrypted_key(const Made& of, const std::string& password) {
    const std::string name = folder_ + "/" + std::to_string(++serial_) + ".key";
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(name.c_str(), "w"), std::fclose);
    EXPECT_EQ(PEM_write_PKCS8PrivateKey(file.get(), of.key.get(), EVP_aes_256_cbc(), password.c_str(),
                                        static_cast<int>(password.size()), nullptr, nullptr),
              1);
    return name;
  }

  Made make(const Wish& wish) {
    Made made;
    made.key.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
    made.certificate.reset(X509_new(), X509_free);
    X509* const certificate = made.certificate.get();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), wish.begins_in_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), wish.ends_in_s);
    X509_set_pubkey(certificate, made.key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wish.name.c_str()), -1, -1, 0);
    const Made& signer = wish.self_signed ? made : wish.signed_by != nullptr ? *wish.signed_by : authority_;
    X509* const issuer = signer.certificate.get();
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    add(context, certificate, NID_subject_key_identifier, "hash");
    add(context, certificate, NID_authority_key_identifier, "keyid:always");
    add(context, certificate, NID_basic_constraints,
        wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add(context, certificate, NID_key_usage,
        wish.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (!wish.alternative.empty()) add(context, certificate, NID_subject_alt_name, wish.alternative);
    EXPECT_GT(X509_sign(certificate, signer.key.get(), EVP_sha256()), 0);
    made.file = folder_ + "/" + std::to_string(serial_) + ".pem";
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(made.file.c_str(), "w"), std::fclose);
    PEM_write_X509(file.get(), certificate);
    PEM_write_PrivateKey(file.get(), made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return made;
  }

 private:
  static void add(X509V3_CTX& context, X509* certificate, int kind, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    EXPECT_NE(extension, nullptr) << value;
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  std::string folder_;
  long serial_ = 0;
  Made authority_;
  Made server_;
};

}  // namespace aiofiber
