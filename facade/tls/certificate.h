// SPDX-License-Identifier: Apache-2.0
//
// certificate_of(): what a certificate of OpenSSL says, as the values of a Certificate.
//
// Texts come out in UTF-8. Alternative names of kinds that Certificate does not list are left out. A time
// that cannot be read is 0. Source: ssl.SSLSocket.getpeercert().
#pragma once

#include <openssl/x509.h>

#include "aiofiber/ssl.h"

namespace aiofiber::detail {

Certificate certificate_of(X509& certificate);

}  // namespace aiofiber::detail
