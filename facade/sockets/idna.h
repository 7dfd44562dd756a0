// SPDX-License-Identifier: Apache-2.0
//
// Names of hosts beyond ASCII (IDNA): the form that the DNS and certificates have, "xn--...".
//
// By GNU libidn2, which is opened when the first such name comes, as libc does it for AI_IDN. Unlike AI_IDN,
// the name is UTF-8 in each locale. Private: no public header includes it.
#pragma once

#include <string>

namespace aiofiber::detail {

// "bücher.example" is "xn--bcher-kva.example"; a name in ASCII stays as it is. Any thread; blocks it while
// libidn2 is opened, once. ValueError: the name is not one that IDNA 2008 (UTS #46) takes, is no UTF-8, or
// there is no libidn2. Source: asyncio encodes names with Python's codec "idna", which is IDNA 2003; RFC
// 5890.
std::string host_in_ascii(std::string host);

}  // namespace aiofiber::detail
