// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL's errors as exceptions.
//
// OpenSSL keeps the errors of a thread in a queue. Each of its calls here begins with an empty queue, and no
// task is suspended before the queue was read: `Call` sees to both.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <exception>
#include <string>

#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::detail {

// Lives around calls of OpenSSL. Its locks do not suspend the task meanwhile, although hooks are linked:
// another task could call into the same connection.
class SslCall {
 public:
  SslCall() noexcept { ERR_clear_error(); }
  ~SslCall() { ERR_clear_error(); }
  SslCall(const SslCall&) = delete;
  SslCall& operator=(const SslCall&) = delete;

 private:
  runtime::HooksOff hooks_off_;
};

// The last error of the queue. With a connection, an error of the peer's certificate is an
// SSLCertVerificationError; `host`: the name that it should have. std::system_error: a system call failed,
// `what` says for what.
std::exception_ptr ssl_error(const std::string& what, const SSL* connection = nullptr,
                             const std::string& host = {});
[[noreturn]] void throw_ssl_error(const std::string& what);
// The connection ended without a closing message.
std::exception_ptr ssl_eof_error();

}  // namespace aiofiber::detail
